"""Everything the doctor looks at, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdtranslate.api import Split
from mdtranslate.api.dataset import spell
from mdtranslate.data.batches import Batches
from mdtranslate.data.missing_files import describe_missing
from mdtranslate.data.sampling.paired import find_truths
from mdtranslate.data.source import Progress, Source
from mdtranslate.doctor import image_findings, label_findings
from mdtranslate.doctor.findings import Finding, Patient, Rank
from mdtranslate.errors import DataError
from mdtranslate.inference.grid import draw_grid
from mdtranslate.training.run import Job
from mdtranslate.utils.files import disk
from mdtranslate.utils.image_io import encode_png

ROWS, COLUMNS, BLANK = 8, 16, 255
MOST_DOMAINS = 64
STYLES = {Rank.IN_VAIN: "bold red", Rank.TROUBLE: "yellow", Rank.NOTE: "default"}


@dataclass(frozen=True)
class Report:
    """What the doctor found."""

    findings: tuple[Finding, ...]
    """The gravest first."""
    values: dict[str, label_findings.Counts]
    """By dataset: pictures by value and split."""
    domains: dict[str, label_findings.Counts]
    """By dataset: pictures by combination of values and split."""
    sheets: tuple[Path, ...]

    @property
    def in_vain(self) -> bool:
        """Whether training would be."""
        return any(each.rank is Rank.IN_VAIN for each in self.findings)

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "in_vain": self.in_vain,
            "findings": [{**asdict(each), "rank": str(each.rank), "files": list(each.files)} for each in self.findings],
            "values": self.values,
            "domains": self.domains,
            "sheets": [str(each) for each in self.sheets],
        }


def examine(job: Job, out: Path) -> Report:
    """Looks at the data of a run that is not begun, and writes contact sheets to `out`.

    Raises `DataError` where there is no dataset to look at.
    """
    recipe, sources, encoder, progress = job.recipe, job.sources, job.model.encoder, job.watch.packing
    data = recipe.data
    found: list[Finding] = []
    patients: list[Patient] = []
    for source in sources:
        source.records(Split.TRAIN)  # No dataset at all is no finding.
        try:
            patients.append(_open(source, data.cached_size, progress))
        except DataError as error:  # None of its pictures can be read.
            found.append(
                Finding(
                    "no-readable-image",
                    Rank.IN_VAIN,
                    f"{source.name}: {error}",
                    "training would stop at it: mend it first",
                )
            )
    for source in sources:
        for note in source.dataset.notes():
            found.append(Finding(note.kind, Rank.TROUBLE, f"{source.name}: {note.what}", note.cure, note.files))
    for patient in patients:
        found += [*label_findings.examine(patient, data.targets), *image_findings.examine(patient, data)]
    found += [*label_findings.examine_names(patients), *image_findings.examine_shared(patients)]
    if len(patients) == len(sources):
        train = [each.packed[Split.TRAIN].pixels for each in patients]
        own = [each.source.labels(each.records[Split.TRAIN], encoder) for each in patients]
        try:
            parts = [(each.source, each.records[Split.TRAIN]) for each in patients]
            truths = find_truths(parts, encoder, data.cached_size, progress) if data.targets == "paired" else None
        except DataError as error:
            found.append(Finding("targets", Rank.IN_VAIN, str(error), "another data.targets, or a dataset of pairs"))
        else:
            batches = Batches(train, own, encoder, data, recipe.train.seed, torch.device("cpu"), truths=truths)
            found += label_findings.examine_targets(batches, [each.name for each in patients])
        found += image_findings.examine_visibility(patients, data, job.device, progress)
    sheets = [sheet for patient in patients for sheet in _sheets(patient, out)]
    return Report(
        tuple(sorted(found, key=lambda each: each.rank)),
        {each.name: label_findings.values(each) for each in patients},
        {each.name: label_findings.domains(each) for each in patients},
        tuple(sheets),
    )


def unusable(error: DataError) -> Report:
    """The report on data that cannot be looked at."""
    finding = Finding("unusable-dataset", Rank.IN_VAIN, str(error), "a run would stop at it, too")
    return Report((finding,), {}, {}, ())


def show(report: Report, console: Console) -> None:
    """Prints a report: counts, then findings, the gravest first."""
    for tables, heading in ((report.values, "pictures by value"), (report.domains, "pictures by domain")):
        for name, counts in tables.items():
            if heading.endswith("domain") and not 1 < len(counts) <= MOST_DOMAINS:
                continue
            table = Table("", *Split)
            for value, by_split in counts.items():
                table.add_row(escape(value), *(str(by_split[split]) for split in Split))
            console.print(f"\n{name}: {heading}", style="bold", markup=False)
            console.print(table)
    console.print("\nfindings, the gravest first" if report.findings else "\nnothing found", style="bold")
    for each in report.findings:
        console.print(f"{each.rank}: {each.what}", style=STYLES[each.rank], markup=False, soft_wrap=True)
        console.print(f"    {each.cure}", markup=False, soft_wrap=True)
    for sheet in report.sheets:
        console.print(f"look at {sheet}", markup=False, soft_wrap=True)


def _open(source: Source, size: int, progress: Progress) -> Patient:
    """A dataset with its pictures in the cache, the unreadable left out whatever the recipe says and however many.

    Raises `DataError` where none of those to train on is left.
    """
    lenient = replace(source, most=1.0)
    records = {split: source.listed(split) for split in Split}
    packed = {split: lenient.pack(own, size, split, progress) for split, own in records.items()}
    there = {split: packed[split].of(own) for split, own in records.items()}
    if not there[Split.TRAIN]:
        reason = next(iter(packed[Split.TRAIN].left_out.values()))
        what = f"none of {len(records[Split.TRAIN])} pictures to train on can be read; the first: {reason}"
        files = [str(each.image) for each in records[Split.TRAIN] if each.image is not None]
        raise DataError(f"{what}{describe_missing(files, '; ')}")
    return Patient(lenient, there, packed, {split: list(map(source.labelled, own)) for split, own in there.items()})


def _sheets(patient: Patient, out: Path) -> Iterator[Path]:
    """Contact sheets: a column per value of each labelled attribute, with pictures from all over that have it."""
    pixels, known = patient.packed[Split.TRAIN].pixels, patient.labels[Split.TRAIN]
    columns = []
    for attribute in patient.source.attributes:
        for value in attribute.allowed:
            places = [n for n, each in enumerate(known) if attribute.name in each and each[attribute.name] == value]
            column = np.full((ROWS, *pixels.shape[1:]), BLANK, np.uint8)
            # From all over: the first are often of one kind, as files are sorted.
            for row in range(min(ROWS, len(places))):
                column[row] = pixels[places[row * len(places) // min(ROWS, len(places))]]
            columns.append((f"{attribute.name}={spell(value)}", column))
    credit = patient.source.dataset.credit
    for number, start in enumerate(range(0, len(columns), COLUMNS), start=1):
        titles, pictures = zip(*columns[start : start + COLUMNS], strict=True)
        file = out / f"{patient.name}{f'-{number}' if len(columns) > COLUMNS else ''}.png"
        with disk(out):
            out.mkdir(parents=True, exist_ok=True)
        encode_png(np.asarray(draw_grid(np.stack(pictures, axis=1), titles, footer=credit)), file)
        yield file
