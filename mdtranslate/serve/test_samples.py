"""Test pictures of a run for its demo to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from mdtranslate.api import Record, Split
from mdtranslate.api.dataset import spell
from mdtranslate.config.run_dir import RunFolder, is_run
from mdtranslate.config.shared_models import is_shared
from mdtranslate.data.source import Source, build_sources, choose
from mdtranslate.errors import DataError, MdtranslateError, first_line
from mdtranslate.inference.translator import Translator

SHOWN: Final = 8
"""Pictures, of all datasets together where that is at least two of each."""

TRIED: Final = 16
"""Pictures, one after the other, that are tried for each where some cannot be read."""

SIDE: Final = 1024
"""Pixels of the longer side of a sample at most: it comes back as an upload, which has a limit."""


@dataclass(frozen=True)
class Sample:
    """A test picture as a PNG, and what is known of it, as people write it: `hair`: `Blond_Hair`."""

    key: str
    dataset: str
    picture: bytes
    known: dict[str, str]


def samples(translator: Translator, run: Path) -> tuple[list[Sample], list[str]]:
    """Test pictures of the datasets of a run, and, for each dataset that has none to give, one line that says why."""
    if not is_run(run):
        return [], [f"{run} is a translator without its run: there are no test pictures to choose from"]
    if is_shared(run):  # Its recipe is a stranger's: what it names is no place that our user chose to ask.
        return [], [f"{run} is a model that was shared: no test pictures are looked for where its recipe says"]
    found: list[Sample] = []
    missing: list[str] = []
    try:
        sources = build_sources(RunFolder(run).written().recipe)
    except Exception as error:  # Here and below: code of plugins, which may raise anything, and the demo goes without.
        return [], [f"There are no test pictures to choose from: {_line(error)}"]
    for source in sources:
        try:
            found += _of(source, translator, max(2, SHOWN // len(sources)))
        except Exception as error:
            missing.append(f"There are no test pictures of {source.name} to choose from: {_line(error)}")
    return found, missing


def _of(source: Source, translator: Translator, count: int) -> list[Sample]:
    records: Sequence[Record] = source.listed(Split.TEST)
    if not records:
        raise DataError("its test split is empty")
    found: list[Sample] = []
    tried: set[int] = set()
    trouble: Exception | None = None
    for chosen in choose([source.labelled(each) for each in records], count):
        for place in range(chosen, min(chosen + TRIED, len(records))):
            if place in tried:
                continue
            tried.add(place)
            try:
                found.append(_sample(source, translator, records[place]))
                break
            except Exception as error:
                trouble = trouble or error
    if trouble is not None and not found:
        raise trouble
    return found


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, MdtranslateError) else first_line(error)


def _sample(source: Source, translator: Translator, record: Record) -> Sample:
    image = Image.fromarray(source.dataset.load(record))
    image.thumbnail((SIDE, SIDE))
    file = BytesIO()
    image.save(file, "PNG")
    encoder, number = translator.encoder, translator.words.number(source.name)
    known = encoder.decode(encoder.encode(source.labelled(record), number))
    named = {translator.words.name(number, name): spell(value) for name, value in known.items()}
    return Sample(record.key, source.name, file.getvalue(), named)
