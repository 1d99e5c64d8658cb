"""Measures a trained run on every test picture and every edit of one attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdtranslate import __version__
from mdtranslate.config import Choice, Recipe
from mdtranslate.data.batches import normalise, to_device, to_pixels
from mdtranslate.data.images import encode_png
from mdtranslate.data.pack import Packed
from mdtranslate.data.sources import Progress, Source, build_sources
from mdtranslate.device import describe
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.evaluation.judge import Judge, obtain_judge
from mdtranslate.files import disk, write_json
from mdtranslate.grid import draw_grid
from mdtranslate.interfaces import Edited, Metric, Record, Split, Value
from mdtranslate.interfaces.dataset import spell
from mdtranslate.recipes import read_toml, resolve_tree
from mdtranslate.registry import registry
from mdtranslate.runfolder import RunFolder
from mdtranslate.translator import Translator

BATCH = 64
GRID_ROWS = 6
JUDGE_SEED = 0  # Not the run's: every run on the same pictures has the same judge.

Edit = tuple[str, Value]


@dataclass(frozen=True)
class Result:
    """What was measured on one dataset."""

    dataset: str
    pictures: int
    digest: str
    """Of the test pictures: equal digests, equal pictures."""
    attributes: tuple[str, ...]
    """Everything the dataset knows, which is what the judge judges."""
    edited: tuple[str, ...]
    """The attributes that the run labels."""
    judge: Mapping[str, Any]
    accuracy: Mapping[str, float]
    """The judge's, on real test pictures."""
    edits: Mapping[str, int]
    """Pictures by edit, `hair=Blond_Hair`."""
    compared: Mapping[str, int]
    """As `edits`, those of which the true picture is known."""
    figures: Mapping[str, Mapping[str, float]]
    """What each metric of the recipe gives, by its name there."""

    def json(self) -> dict[str, Any]:
        """As it stands in report.json: the judge's accuracy on real pictures first."""
        return {
            "judge": {"accuracy_on_real_pictures": dict(self.accuracy), **self.judge},
            "pictures": self.pictures,
            "digest": self.digest,
            "attributes": list(self.attributes),
            "edited": list(self.edited),
            "edits": dict(self.edits),
            "compared_with_truth": dict(self.compared),
            "figures": {name: dict(each) for name, each in self.figures.items()},
        }


@dataclass(frozen=True)
class Report:
    """What was measured of a run."""

    run: str
    recipe: str
    device: str
    results: tuple[Result, ...]
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def json(self) -> dict[str, Any]:
        """The content of `evaluation/report.json`."""
        return {
            "run": self.run,
            "recipe": self.recipe,
            "mdtranslate": __version__,
            "device": self.device,
            "made": self.made,
            "split": Split.TEST.value,
            "datasets": {each.dataset: each.json() for each in self.results},
        }


@dataclass(frozen=True, eq=False)
class _Tests:
    """The test pictures of a dataset, their labels, their edits, and the true pictures after those."""

    source: Source
    records: list[Record]
    packed: Packed
    labels: Tensor
    """What the run labels, the unknown filled in by the discriminator: [N, L]."""
    edits: dict[Edit, list[int]]
    """The pictures of each edit: those that are known to have another value."""
    truths: NDArray[np.uint8]
    truth: dict[tuple[Edit, int], int]
    """Where in `truths` the true picture of an edit and a picture is."""


def evaluate(run: RunFolder, device: torch.device, overrides: Sequence[str] = (), *, progress: Progress) -> Report:
    """Measures a run with the metrics of its recipe and writes `evaluation/` in its folder.

    Of each dataset every test picture is translated to every other value of every attribute that the run labels.
    "None of these" is no target, and a picture of which the attribute is unknown is left out of its edits.
    `overrides` may change only `metrics`. Raises `RecipeError` for any other, `CheckpointError` for a run that has no
    translator or a damaged one, `DataError` for a test split without pictures.
    """
    recipe = _recipe(run, overrides)
    translator = Translator.load(run.path, device)
    results = []
    for source in build_sources(recipe):
        judge = obtain_judge(source, recipe.data.image_size, JUDGE_SEED, device, progress)
        tests = _tests(source, recipe, translator, device, progress)
        results.append(_measure(tests, recipe.metrics, translator, judge, device, progress))
        name = "edits.png" if len(recipe.datasets) == 1 else f"edits-{source.name}.png"
        with disk(run.path / "evaluation"):
            (run.path / "evaluation").mkdir(exist_ok=True)
        encode_png(_picture(tests, translator, device), run.path / "evaluation" / name)
    report = Report(str(run.path), run.name, describe(device), tuple(results))
    write_json(run.path / "evaluation" / "report.json", report.json())
    return report


def _recipe(run: RunFolder, overrides: Sequence[str]) -> Recipe:
    for text in overrides:
        if text.partition("=")[0].strip().partition(".")[0] != "metrics":
            raise RecipeError(f"{text}: an evaluation can change only metrics, such as metrics.l1=reconstruction")
    path = run.path / "recipe.toml"
    tree = read_toml(path)
    if not tree.get("metrics") and not overrides:
        tree["metrics"] = {name: {} for name in registry().names("metric")}
    return resolve_tree(run.name, tree, overrides, source=str(path)).recipe


@torch.inference_mode()
def _tests(source: Source, recipe: Recipe, translator: Translator, device: torch.device, progress: Progress) -> _Tests:
    data, encoder = recipe.data, translator.model.encoder
    records = source.records(Split.TEST)
    packed = source.pack(records, data.image_size, "test", data.workers, progress)
    labels = source.labels(records, encoder)
    for index in _chunks(list(range(len(records)))):
        labels[index] = translator.infer(_real(packed.pixels[index], device), labels[index]).cpu()

    edits: dict[Edit, list[int]] = {}
    for attribute in source.attributes:
        for value in attribute.allowed:
            has = [record.attributes.get(attribute.name, value) for record in records]
            chosen = [n for n, own in enumerate(has) if own != value]
            if value is not None and chosen:
                edits[attribute.name, value] = chosen
    if not edits:
        raise DataError(f"dataset {source.name}: no test picture has a known attribute that could be edited")

    others: list[Record] = []
    truth: dict[tuple[Edit, int], int] = {}
    for edit, chosen in edits.items():
        for n in chosen:
            if (other := source.dataset.counterfactual(records[n], dict([edit]))) is not None:
                truth[edit, n] = len(others)
                others.append(other)
    truths = source.pack(others, data.image_size, "test, edited", data.workers, progress) if others else packed
    return _Tests(source, records, packed, labels, edits, truths.pixels, truth)


@torch.inference_mode()
def _measure(
    tests: _Tests,
    choices: Mapping[str, Choice[Metric]],
    translator: Translator,
    judge: Judge,
    device: torch.device,
    progress: Progress,
) -> Result:
    source = tests.source
    metrics = {name: choice.build(attributes=source.dataset.attributes) for name, choice in choices.items()}
    compared: Counter[str] = Counter()
    done, total = 0, sum(map(len, tests.edits.values()))
    for edit, index in _batches(tests):
        real = _real(tests.packed.pixels[index], device)
        before = tests.labels[index]
        target = _targets(tests, translator, edit, index)
        # In 8 bits, as they are shipped: what hides below a grey level does not count.
        fake = _real(to_pixels(translator.translate(real, before, target)), device)
        places = [tests.truth[edit, n] for n in index if (edit, n) in tests.truth]
        batch = Edited(
            edit=dict([edit]),
            real=real,
            fake=fake,
            reconstruction=translator.translate(fake, target, before),
            truth=_real(tests.truths[places], device) if places else None,
            before=[tests.records[n].attributes for n in index],
            judged=judge.predict(fake),
        )
        for metric in metrics.values():
            metric.update(batch)
        compared[_spelt(edit)] += len(places)
        done += len(index)
        progress(f"{source.name} edits", done, total)
    return Result(
        dataset=source.name,
        pictures=len(tests.records),
        digest=tests.packed.digest,
        attributes=tuple(each.name for each in source.dataset.attributes),
        edited=tuple(each.name for each in source.attributes),
        judge=judge.facts,
        accuracy=judge.accuracy,
        edits={_spelt(edit): len(chosen) for edit, chosen in tests.edits.items()},
        compared={name: count for name, count in compared.items() if count},
        figures={name: metric.compute() for name, metric in metrics.items()},
    )


def _batches(tests: _Tests) -> Iterator[tuple[Edit, list[int]]]:
    """Pictures of one edit; of all or of none in a batch the truth is known."""
    for edit, chosen in tests.edits.items():
        for known in (True, False):
            some = [n for n in chosen if ((edit, n) in tests.truth) == known]
            for index in _chunks(some):
                yield edit, index


def _targets(tests: _Tests, translator: Translator, edit: Edit, index: Sequence[int]) -> Tensor:
    encoder = translator.model.encoder
    wanted = [{**encoder.decode(tests.labels[n]), **dict([edit])} for n in index]
    return torch.stack([encoder.encode(each, tests.source.number) for each in wanted])


@torch.inference_mode()
def _picture(tests: _Tests, translator: Translator, device: torch.device) -> NDArray[np.uint8]:
    """The first test pictures, and beside them each edit and, where it is known, the true picture after it.

    A picture that has the value already shows what the translator makes of it then, beside itself.
    """
    index = list(range(min(GRID_ROWS, len(tests.records))))
    pixels = np.asarray(tests.packed.pixels[index])
    real, before = _real(pixels, device), tests.labels[index]
    columns, titles = [pixels], ["test picture"]
    for edit in tests.edits:
        target = _targets(tests, translator, edit, index)
        columns.append(to_pixels(translator.translate(real, before, target)))
        titles.append(spell(edit[1]) if isinstance(edit[1], str) else _spelt(edit))
        if any(pair[0] == edit for pair in tests.truth):
            # Grey where the true picture is unknown.
            truth = np.full_like(pixels, 128)
            for row, n in enumerate(index):
                if (edit, n) in tests.truth:
                    truth[row] = tests.truths[tests.truth[edit, n]]
                elif n not in tests.edits[edit] and edit[0] in tests.records[n].attributes:
                    truth[row] = pixels[row]
            columns.append(truth)
            titles.append("true")
    grid = draw_grid(np.stack(columns, axis=1), titles, footer=tests.source.dataset.credit)
    return np.asarray(grid.convert("RGB"))


def _chunks(index: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(index), BATCH):
        yield index[start : start + BATCH]


def _real(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    return normalise(to_device(pixels, device))


def _spelt(edit: Edit) -> str:
    return f"{edit[0]}={spell(edit[1])}"
