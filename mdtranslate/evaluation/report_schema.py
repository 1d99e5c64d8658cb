"""The part of `report.json` that model cards read, validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mdtranslate.config.command_line import format_command
from mdtranslate.errors import CheckpointError
from mdtranslate.utils.files import read_json


class _ClassifierSchema(BaseModel):
    accuracy_on_real_images: dict[str, float]


class _DatasetSchema(BaseModel):
    classifier: _ClassifierSchema
    images: int
    left_out: list[str]
    edited: list[str]
    edits: dict[str, int]
    figures: dict[str, dict[str, float]]


class ReportSchema(BaseModel):
    """What a model card reads of `report.json`.

    Attributes:
        weights: Hashes of the weights that were measured. If they are not the translator's, the figures are of another
            model.
        datasets: The results by dataset.
    """

    weights: dict[str, str] = {}
    datasets: dict[str, _DatasetSchema]


def read_report(run: Path) -> dict[str, Any]:
    """Reads the report in a run's folder.

    Args:
        run: The run's folder.

    Returns:
        The content of its `evaluation/report.json`, which has what `ReportSchema` requires; empty if there is none.

    Raises:
        mdtranslate.errors.CheckpointError: The report is damaged, or was written by another version.
    """
    file = run / "evaluation" / "report.json"
    if not file.is_file():
        return {}
    report = read_json(file)
    try:
        ReportSchema.model_validate(report, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{file}: {key}: {first['msg']}; evaluate again: {format_command('evaluate', run)}"
        ) from None
    return report
