"""Measures a trained run on every test picture and every edit of one attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mdtranslate._version import __version__
from mdtranslate.api import Edited, Metric, Settings, Split, Value
from mdtranslate.api.dataset import spell
from mdtranslate.config.choice import Choice
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.config.schema import Recipe
from mdtranslate.data.batches import to_pixels
from mdtranslate.data.source import Progress, Source, choose
from mdtranslate.evaluation.attribute_classifier import Judged
from mdtranslate.evaluation.classifier_cache import Judge, JudgeFeatures, StandIn, obtain_judge
from mdtranslate.evaluation.cost import cost
from mdtranslate.evaluation.overrides import evaluated, refuse_others, sources_of
from mdtranslate.evaluation.test_set import Tested, chunks, prepare, shown
from mdtranslate.inference import serialization
from mdtranslate.inference.grid import draw_grid
from mdtranslate.inference.translator import Translator
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.device import describe
from mdtranslate.utils.files import disk, write_json
from mdtranslate.utils.image_io import encode_png

GRID_ROWS = 6


@dataclass(frozen=True)
class Result:
    """What was measured on one dataset."""

    dataset: str
    pictures: int
    left_out: tuple[str, ...]
    """Why test pictures are not among them: each reason names the file."""
    digest: str
    """Of the test pictures: equal digests, equal pictures."""
    attributes: tuple[str, ...]
    """Everything that any of the datasets knows, which is what the judge judges."""
    edited: tuple[str, ...]
    """The attributes that were edited: those that the run labels, of this dataset and of the others."""
    together: tuple[str, ...]
    """Attributes that were edited at once: `hair+Eyeglasses`."""
    transferred: Mapping[str, str]
    """Of those, the attributes that only another dataset labels, and which."""
    judge: Mapping[str, Any]
    accuracy: Mapping[str, float]
    """The judge's, on real test pictures."""
    commonest: Mapping[str, float]
    """The share of each attribute's commonest value among those pictures: what the accuracy of a guess would be."""
    edits: Mapping[str, int]
    """Pictures by edit, `hair=Blond_Hair`."""
    compared: Mapping[str, int]
    """As `edits`, those of which the true picture is known."""
    figures: Mapping[str, Mapping[str, float]]
    """What each metric of the recipe gives, by its name there."""
    facts: Mapping[str, Mapping[str, Any]]
    """What those depend on beside the pictures, likewise."""

    def json(self) -> dict[str, Any]:
        """As it stands in report.json: the judge's accuracy on real pictures first."""
        return {
            "judge": {
                "accuracy_on_real_pictures": dict(self.accuracy),
                "share_of_commonest_value": dict(self.commonest),
                **self.judge,
            },
            "pictures": self.pictures,
            "left_out": list(self.left_out),
            "digest": self.digest,
            "attributes": list(self.attributes),
            "edited": list(self.edited),
            "together": list(self.together),
            "transferred": dict(self.transferred),
            "edits": dict(self.edits),
            "compared_with_truth": dict(self.compared),
            "figures": {name: dict(each) for name, each in self.figures.items()},
            "facts": {name: dict(each) for name, each in self.facts.items()},
        }


@dataclass(frozen=True)
class Report:
    """What was measured of a run."""

    run: str
    recipe: str
    device: str
    results: tuple[Result, ...]
    cost: Mapping[str, Any]
    """Of the translator, as `cost.cost` has it."""
    weights: Mapping[str, str]
    """The files of the weights that were measured, with their hashes: a run that goes on has others."""
    overrides: tuple[str, ...]
    """What was measured otherwise than the run's recipe says."""
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
            "weights": dict(self.weights),
            "overrides": list(self.overrides),
            "cost": dict(self.cost),
            "datasets": {each.dataset: each.json() for each in self.results},
        }


def evaluate(run: RunFolder, device: torch.device, overrides: Sequence[str] = (), *, progress: Progress) -> Report:
    """`measure` and `write` in the run's folder."""
    report, images = measure(run, device, overrides, progress=progress)
    write(report, images, run.path / "evaluation")
    return report


def write(report: Report, images: Mapping[str, NDArray[np.uint8]], folder: Path) -> None:
    """Writes `report.json` and the images, [H, W, 3] by name, in `folder`. Raises `StorageError`."""
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in images.items():
        encode_png(pixels, folder / f"{name}.png")
    write_json(folder / "report.json", report.json())


def measure(
    run: RunFolder, device: torch.device, overrides: Sequence[str] = (), *, progress: Progress
) -> tuple[Report, dict[str, NDArray[np.uint8]]]:
    """Measures a run with the metrics of its recipe: the report, and grids of edited test images by name.

    Every test picture is translated to every other value of every attribute that the run labels, of its own dataset and
    of the others, and of several attributes at once (`evaluation.together`). "None of these" is no target, and a
    picture of which the attribute is unknown is left out of its edits.
    `overrides` may change only `metrics`, `evaluation`, and where the run's datasets lie. Raises `RecipeError` for any
    other, and where the datasets then label something else, `CheckpointError` for a run that has no translator or a
    damaged one, `DataError` for a dataset that is not there or a test split without pictures.
    """
    recipe = evaluated(run, overrides)
    weights = tensor_dir.load_facts(serialization.find(run.path), "translator")["files"]
    translator = Translator.load(run.path, device)
    sources = sources_of(recipe)
    refuse_others(run, sources, translator)
    try_metrics(recipe, sources)
    judge = obtain_judge(sources, recipe.data.image_size, device, progress, recipe.judging)
    judged = Judged(sources)
    results, images = [], dict[str, NDArray[np.uint8]]()
    for source in sources:
        size, together = recipe.data.image_size, recipe.evaluation.together
        tested = prepare(source, sources, judged, size, translator, device, progress, together)
        results.append(_measure(tested, recipe.metrics, translator, judge, device, progress))
        for owner in dict.fromkeys(edit.source for edit in tested.edits):
            names = ["edits"] if len(sources) == 1 else ["edits", source.name]
            name = "-".join(names if owner is source else [*names, owner.name])
            images[name] = _picture(tested, owner, translator, device)
    report = Report(
        str(run.path), run.name, describe(device), tuple(results), cost(run, translator), weights, tuple(overrides)
    )
    return report, images


def try_metrics(recipe: Recipe, sources: Sequence[Source]) -> None:
    """Builds the metrics and throws them away: what is wrong with one is said before anything takes long."""
    attributes = [each for source in sources for each in source.attributes]
    for choice in recipe.metrics.values():
        choice.build(attributes=attributes, judge=StandIn(Settings()))


@torch.inference_mode()
def _measure(
    tested: Tested,
    choices: Mapping[str, Choice[Metric]],
    translator: Translator,
    judge: Judge,
    device: torch.device,
    progress: Progress,
) -> Result:
    source = tested.source
    features = JudgeFeatures(judge)
    metrics = {name: each.build(attributes=judge.attributes, judge=features) for name, each in choices.items()}
    for index in chunks(list(range(len(tested.known)))):
        real, known = shown(tested.packed.pixels[index], device), [tested.known[n] for n in index]
        labels = tested.labels[source.number][index]
        same = shown(to_pixels(translator.translate(real, labels, labels)), device)
        for metric in metrics.values():
            metric.see(real, known, same)
    compared: Counter[str] = Counter()
    done, total = 0, sum(map(len, tested.edits.values()))
    for edit, index in tested.batches():
        real = shown(tested.packed.pixels[index], device)
        before, target = tested.targets(translator, edit, index)
        # In 8 bits, as they are shipped: what hides below a grey level does not count.
        fake = shown(to_pixels(translator.translate(real, before, target)), device)
        places = [tested.truth[edit, n] for n in index if (edit, n) in tested.truth]
        batch = Edited(
            edit=edit.change,
            real=real,
            fake=fake,
            reconstruction=translator.translate(fake, target, before),
            truth=shown(tested.truths[places], device) if places else None,
            before=[tested.known[n] for n in index],
            judged=judge.predict(fake),
        )
        for metric in metrics.values():
            metric.update(batch)
        compared[str(edit)] += len(places)
        done += len(index)
        progress(f"{source.name} edits", done, total)
    edited = {edit.judged: edit.source for edit in tested.edits if len(edit.parts) == 1}
    return Result(
        dataset=source.name,
        pictures=len(tested.known),
        left_out=tuple(tested.packed.left_out.values()),
        digest=tested.packed.digest,
        attributes=tuple(each.name for each in judge.attributes),
        edited=tuple(edited),
        together=tuple(dict.fromkeys(edit.judged for edit in tested.edits if len(edit.parts) > 1)),
        transferred={name: owner.name for name, owner in edited.items() if owner is not source},
        judge=judge.facts,
        accuracy=judge.accuracy.get(source.name, {}),
        commonest=_commonest(tested.known),
        edits={str(edit): len(chosen) for edit, chosen in tested.edits.items()},
        compared={name: count for name, count in compared.items() if count},
        figures={name: metric.compute() for name, metric in metrics.items()},
        facts={name: facts for name, metric in metrics.items() if (facts := metric.facts())},
    )


def _commonest(known: Sequence[Mapping[str, Value]]) -> dict[str, float]:
    counts: dict[str, Counter[Value]] = {}
    for each in known:
        for name, value in each.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: max(own.values()) / own.total() for name, own in counts.items()}


@torch.inference_mode()
def _picture(tested: Tested, owner: Source, translator: Translator, device: torch.device) -> NDArray[np.uint8]:
    """The first test pictures, and beside them each edit of `owner`'s and, where it is known, the true picture.

    A picture that has the value already shows what the translator makes of it then, beside itself.
    """
    index = choose(tested.known, GRID_ROWS)
    pixels = np.asarray(tested.packed.pixels[index])
    real = shown(pixels, device)
    columns, titles = [pixels], ["test picture"]
    for edit in (each for each in tested.edits if each.source is owner and len(each.parts) == 1):
        ((_, _, value),) = edit.parts
        columns.append(to_pixels(translator.translate(real, *tested.targets(translator, edit, index))))
        titles.append(spell(value) if isinstance(value, str) else str(edit))
        if any(pair[0] == edit for pair in tested.truth):
            # Grey where the true picture is unknown.
            truth = np.full_like(pixels, 128)
            for row, n in enumerate(index):
                if (edit, n) in tested.truth:
                    truth[row] = tested.truths[tested.truth[edit, n]]
                elif n not in tested.edits[edit] and edit.judged in tested.known[n]:
                    truth[row] = pixels[row]
            columns.append(truth)
            titles.append("true")
    grid = draw_grid(np.stack(columns, axis=1), titles, footer=tested.source.dataset.credit)
    return np.asarray(grid.convert("RGB"))
