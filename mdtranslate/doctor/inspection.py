"""Inspection of a recipe's data before training: all checks of the doctor, their report, and contact sheets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdtranslate.api import Split, format_value
from mdtranslate.data.batches import Batches
from mdtranslate.data.missing_files import describe_missing
from mdtranslate.data.recipe_datasets import Progress, RecipeDataset
from mdtranslate.data.sampling.paired import find_paired_targets
from mdtranslate.doctor import image_findings, label_findings, name_findings, visibility_findings
from mdtranslate.doctor.findings import Finding, InspectedDataset, Rank
from mdtranslate.errors import DataError
from mdtranslate.inference.grid import draw_grid
from mdtranslate.training.job import TrainingJob
from mdtranslate.utils.files import storage_errors
from mdtranslate.utils.image_io import write_png

SHEET_ROWS: Final = 8
SHEET_COLUMNS: Final = 16
EMPTY: Final = 255  # Grey value of the cells of a contact sheet that have no image.
MAX_DOMAINS: Final = 64  # Longer tables of domains are not printed.
STYLES: Final = {Rank.ERROR: "bold red", Rank.WARNING: "yellow", Rank.INFO: "default"}


@dataclass(frozen=True)
class Report:
    """Everything that the doctor found.

    Attributes:
        findings: The findings, most severe first.
        values: By dataset: number of images by value and split.
        domains: By dataset: number of images by combination of values and split.
        sheets: Files of the contact sheets.
    """

    findings: tuple[Finding, ...]
    values: dict[str, label_findings.Counts]
    domains: dict[str, label_findings.Counts]
    sheets: tuple[Path, ...]

    @property
    def has_errors(self) -> bool:
        """Whether training would stop or learn nothing."""
        return any(finding.rank is Rank.ERROR for finding in self.findings)

    def json(self) -> dict[str, Any]:
        """Returns the report as `doctor --json` prints it."""
        return {
            "has_errors": self.has_errors,
            "findings": [
                {**asdict(finding), "rank": str(finding.rank), "files": list(finding.files)}
                for finding in self.findings
            ],
            "values": self.values,
            "domains": self.domains,
            "sheets": [str(sheet) for sheet in self.sheets],
        }


def inspect_datasets(job: TrainingJob, out: Path) -> Report:
    """Inspects the data of a run before it is trained, and writes contact sheets.

    Args:
        job: The run.
        out: Folder of the contact sheets; it is created if necessary.

    Raises:
        mdtranslate.errors.DataError: A dataset does not exist or has no training images.
        mdtranslate.errors.StorageError: The contact sheets or the cache cannot be written.
    """
    data, progress = job.recipe.data, job.watch.caching
    findings: list[Finding] = []
    datasets: list[InspectedDataset] = []
    for dataset in job.sources:
        dataset.records(Split.TRAIN)  # Raises if there are none.
        try:
            datasets.append(_load(dataset, data.cached_size, progress))
        except DataError as error:
            message = f"{dataset.name}: {error}"
            findings.append(Finding("no-readable-image", Rank.ERROR, message, "repair the files; training would stop"))
    for dataset in job.sources:
        for note in dataset.dataset.notes():
            message = f"{dataset.name}: {note.message}"
            findings.append(Finding(note.kind, Rank.WARNING, message, note.remedy, note.files))
    for inspected in datasets:
        findings += label_findings.inspect_labels(inspected, data.targets)
        findings += name_findings.inspect_names(inspected)
        findings += image_findings.inspect_images(inspected, data)
    findings += name_findings.inspect_shared_names(datasets)
    findings += image_findings.inspect_shared_images(datasets)
    if len(datasets) == len(job.sources):
        findings += _target_findings(job, datasets)
        findings += visibility_findings.inspect_visibility(datasets, data, job.device, progress)
    return Report(
        findings=tuple(sorted(findings, key=lambda finding: finding.rank)),
        values={inspected.name: label_findings.count_values(inspected) for inspected in datasets},
        domains={inspected.name: label_findings.count_domains(inspected) for inspected in datasets},
        sheets=tuple(sheet for inspected in datasets for sheet in _write_sheets(inspected, out)),
    )


def failure_report(error: DataError) -> Report:
    """Returns the report on datasets that cannot be inspected."""
    finding = Finding("unusable-dataset", Rank.ERROR, str(error), "repair the dataset; training would stop")
    return Report((finding,), {}, {}, ())


def print_report(report: Report, console: Console) -> None:
    """Prints a report: counts, then findings, most severe first."""
    for name, counts in report.values.items():
        _print_counts(f"{name}: images by value", counts, console)
    for name, counts in report.domains.items():
        if 1 < len(counts) <= MAX_DOMAINS:
            _print_counts(f"{name}: images by domain", counts, console)
    console.print("\nfindings, most severe first" if report.findings else "\nno findings", style="bold")
    for finding in report.findings:
        console.print(f"{finding.rank}: {finding.message}", style=STYLES[finding.rank], markup=False, soft_wrap=True)
        console.print(f"    {finding.remedy}", markup=False, soft_wrap=True)
    for sheet in report.sheets:
        console.print(f"contact sheet: {sheet}", markup=False, soft_wrap=True)


def _print_counts(heading: str, counts: label_findings.Counts, console: Console) -> None:
    table = Table("", *Split)
    for name, by_split in counts.items():
        table.add_row(escape(name), *(str(by_split[split]) for split in Split))
    console.print(f"\n{heading}", style="bold", markup=False)
    console.print(table)


def _load(dataset: RecipeDataset, size: int, progress: Progress) -> InspectedDataset:
    """Loads all splits of a dataset, without unreadable images, however many they are and whatever the recipe says.

    Raises:
        mdtranslate.errors.DataError: No training image can be read.
    """
    lenient = replace(dataset, max_unreadable=1.0)
    records = {split: dataset.records_or_empty(split) for split in Split}
    images = {split: lenient.cache_images(listed, size, split, progress) for split, listed in records.items()}
    readable = {split: images[split].select_readable(listed) for split, listed in records.items()}
    if not readable[Split.TRAIN]:
        reason = next(iter(images[Split.TRAIN].left_out.values()))
        message = f"none of {len(records[Split.TRAIN])} training images can be read; the first: {reason}"
        files = [str(record.image) for record in records[Split.TRAIN] if record.image is not None]
        raise DataError(f"{message}{describe_missing(files, '; ')}")
    labels = {split: list(map(dataset.attribute_values, listed)) for split, listed in readable.items()}
    return InspectedDataset(lenient, readable, images, labels)


def _target_findings(job: TrainingJob, datasets: Sequence[InspectedDataset]) -> Iterator[Finding]:
    """Yields findings about the target labels that the run would sample."""
    data, label_encoder = job.recipe.data, job.model.label_encoder
    pixels = [inspected.images[Split.TRAIN].pixels for inspected in datasets]
    parts = [(inspected.dataset, inspected.records[Split.TRAIN]) for inspected in datasets]
    labels = [dataset.encode_labels(records, label_encoder) for dataset, records in parts]
    truths = None
    if data.targets == "paired":
        try:
            truths = find_paired_targets(parts, label_encoder, data.cached_size, job.watch.caching)
        except DataError as error:
            yield Finding("targets", Rank.ERROR, str(error), "set another data.targets, or use a dataset of pairs")
            return
    seed, device = job.recipe.train.seed, torch.device("cpu")
    batches = Batches(pixels, labels, label_encoder, data, seed, device, paired=truths)
    yield from label_findings.inspect_targets(batches, [inspected.name for inspected in datasets])


def _write_sheets(inspected: InspectedDataset, out: Path) -> Iterator[Path]:
    """Writes contact sheets with some images of each value of each labelled attribute, one column per value."""
    pixels, labels = inspected.images[Split.TRAIN].pixels, inspected.labels[Split.TRAIN]
    columns = []
    for attribute in inspected.dataset.attributes:
        name = attribute.name
        for value in attribute.allowed_values:
            positions = [position for position, label in enumerate(labels) if name in label and label[name] == value]
            column = np.full((SHEET_ROWS, *pixels.shape[1:]), EMPTY, np.uint8)
            # Spread over the dataset, because neighbouring files are often alike.
            rows = min(SHEET_ROWS, len(positions))
            for row in range(rows):
                column[row] = pixels[positions[row * len(positions) // rows]]
            columns.append((f"{name}={format_value(value)}", column))
    credit = inspected.dataset.dataset.credit
    for number, start in enumerate(range(0, len(columns), SHEET_COLUMNS), start=1):
        titles, images = zip(*columns[start : start + SHEET_COLUMNS], strict=True)
        file = out / f"{inspected.name}{f'-{number}' if len(columns) > SHEET_COLUMNS else ''}.png"
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        write_png(np.asarray(draw_grid(np.stack(images, axis=1), titles, footer=credit)), file)
        yield file
