"""What an evaluation left in the folder of a run, as cards read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mdtranslate.config.command_line import typed
from mdtranslate.errors import CheckpointError
from mdtranslate.utils.files import read_json


class _Judge(BaseModel):
    accuracy_on_real_pictures: dict[str, float]


class _Dataset(BaseModel):
    judge: _Judge
    pictures: int
    left_out: list[str]
    edited: list[str]
    edits: dict[str, int]
    figures: dict[str, dict[str, float]]


class Measured(BaseModel):
    """What a card reads of report.json. Where `weights` are not the translator's, its figures are of another model."""

    weights: dict[str, str] = {}
    datasets: dict[str, _Dataset]


def read_report(run: Path) -> dict[str, Any]:
    """The content of a run's report.json, which has what `Measured` says; empty where there is none.

    Raises `CheckpointError` where it is damaged or of another version.
    """
    file = run / "evaluation" / "report.json"
    if not file.is_file():
        return {}
    found = read_json(file)
    try:
        Measured.model_validate(found, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{file}: {key}: {first['msg']}; {typed('evaluate', run)} writes it anew") from None
    return found
