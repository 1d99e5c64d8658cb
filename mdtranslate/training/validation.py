"""Looks at held-out pictures while a run trains, and says so when it does not work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import torch
from torch import Tensor

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.config.schema import Recipe
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.source import Progress, Source, choose
from mdtranslate.evaluation.attribute_classifier import Judged, train_small
from mdtranslate.evaluation.classifier_cache import Judge, find_judge
from mdtranslate.inference.translator import Translator

PICTURES, TARGETS, AT_ONCE = 32, 3, 32
GREY: Final = 127.5  # Grey levels of a step of 1 on the scale of [-1, 1].

MOST_TIME: Final = 0.05
"""Share of a run's time that looks should take at most."""

# Batches of the small classifier: at most so many, and at most this share of the run's, each of which costs more.
BATCHES: Final = 200
SHARE: Final = 0.1

SAME_TARGETS: Final = "translations to different targets are nearly the same"
SAME: Final = 1.0
"""Mean difference, in grey levels of 255, below which they are."""
PATIENCE: Final = 1_000
"""Updates of the generator before that is held against it,"""
UNSEEN: Final = 0.75
"""and share of right edits above which it never is: edits may be small. Who heeds no yes/no target gets half right."""

RECONSTRUCTION: Final = "the reconstruction grows worse"
LASTING: Final = 3
GROWN: Final = 2.0
"""Times the least error of before, in so many looks in a row, is too much;"""
MUCH: Final = 0.1
"""below this it never is."""


@dataclass(frozen=True)
class Look:
    """What was seen of held-out pictures at a step."""

    step: int
    label_dependence: float
    """How far translations of one picture to different targets differ: mean over pixels and pairs, 0 to 255."""
    change: float
    """How far translations differ from the picture itself, likewise."""
    reconstruction: float
    """Mean absolute error of a picture after an edit and back, on the scale of [-1, 1]."""
    edit_accuracy: float
    """Share of edits in which the wanted value is seen, 0 to 1."""
    judged_by: str
    """By whom: `judge`, or `classifier`, a small one, trained on the run's own pictures before the first look."""
    real_accuracy: float
    """What that one sees right of everything that the run labels in the same pictures as they are, 0 to 1."""
    warning: str | None = None
    edit_accuracies: Mapping[str, float] = field(default_factory=dict)
    """`edit_accuracy` of each attribute that is changed."""

    def line(self) -> dict[str, Any]:
        """As it stands in log.jsonl."""
        figures = {f"check/{name}": value for name, value in vars(self).items() if name != "step" and value is not None}
        return {"step": self.step, **figures}

    def text(self) -> str:
        """In a few words."""
        worst = min(self.edit_accuracies, key=lambda name: self.edit_accuracies[name], default="")
        least = f"{worst} {self.edit_accuracies[worst]:.0%}, " if len(self.edit_accuracies) > 1 else ""
        return (
            f"edits right {self.edit_accuracy:.0%} ({least}real pictures {self.real_accuracy:.0%}), "
            f"targets {self.label_dependence:.1f} grey levels apart, reconstruction {self.reconstruction:.3f}"
        )


@dataclass(frozen=True, eq=False)
class _Trials:
    """Edits of held-out pictures, T of them, those of one picture in a row."""

    real: Tensor
    """[T, 3, S, S] in [-1, 1]."""
    before: Tensor
    """Labels, [T, L]."""
    after: Tensor
    """Labels, [T, L]."""
    again: list[int]
    """Places of those whose picture is that of the place before."""
    wanted: list[Mapping[str, Value]]
    """What is to be seen, by the judge's names: [T]."""
    known: list[Mapping[str, Value]]
    """What the run labels of the pictures as they are, likewise."""


class Monitor:
    """Every look of a run."""

    def __init__(
        self, sources: Sequence[Source], encoder: LabelEncoder, recipe: Recipe, device: torch.device, progress: Progress
    ) -> None:
        self.sources, self.encoder, self.recipe = sources, encoder, recipe
        self.device, self.progress = device, progress
        self.judged = Judged(sources)
        self.looks: list[Look] = []
        self.judged_by = "classifier"
        self._ended: float | None = None
        self._weighed = False

    def begin(self) -> dict[str, Any]:
        """Chooses who judges, and gives the line of the log that says so: it must not change on the way."""
        self.judged_by = "classifier" if self._judge is None else "judge"
        return {"step": 0, "check/judged_by": self.judged_by}

    def recall(self, log: Path) -> None:
        """Takes in what the log says of before a run was interrupted.

        Lines that somebody damaged are passed over: a look is compared with those before it, and there are fewer then.
        """
        self.looks.clear()
        for text in log.read_text("utf-8", "replace").splitlines():
            with suppress(ValueError, TypeError, AttributeError):
                line = json.loads(text)
                if "check/change" in line:
                    self.looks.append(Look(**{name.removeprefix("check/"): value for name, value in line.items()}))
                self.judged_by = line.get("check/judged_by", self.judged_by)

    @torch.inference_mode()
    def look(self, translator: Translator, step: int) -> Look:
        """Translates the held-out pictures to some targets each, and back."""
        trials, classifier = self.trials, self._classifier
        fakes, errors, right = list[Tensor](), list[float](), dict[str, list[bool]]()
        for start in range(0, len(trials.real), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            real, before, after = trials.real[some], trials.before[some], trials.after[some]
            fake = translator.translate(real, before, after)
            fakes.append(fake.cpu())
            errors += _distances(translator.translate(fake, after, before).cpu(), real)
            seen = classifier.predict(normalise(torch.from_numpy(to_pixels(fake))))  # In 8 bits, as they are shipped.
            for name, agrees in _agree(seen, trials.wanted[some]):
                right.setdefault(name, []).append(agrees)
        fake = torch.cat(fakes)
        look = Look(
            step=step,
            label_dependence=_mean(_distances(fake[trials.again], fake[[n - 1 for n in trials.again]]), GREY),
            change=_mean(_distances(fake, trials.real), GREY),
            reconstruction=_mean(errors),
            edit_accuracy=_mean([each for own in right.values() for each in own]),
            edit_accuracies={name: _mean(own) for name, own in right.items()},
            judged_by="judge" if classifier.facts else "classifier",
            real_accuracy=self._real_accuracy,
        )
        look = replace(look, warning=self._warning(look))
        self.looks.append(look)
        return look

    def weigh(self, began: float, took: float) -> str | None:
        """Says once that looks take too much of the time; the first one, which trains a classifier, is no measure.

        `began`, `took`: of this look, in seconds; the time since the last one ended went into training.
        """
        last, self._ended = self._ended, began + took
        if last is None or self._weighed or (share := took / (self._ended - last)) <= MOST_TIME:
            return None
        self._weighed = True
        rarer = 2 * self.recipe.train.check_every
        return f"looks take {share:.0%} of the time, {MOST_TIME:.0%} is meant: train.check_every={rarer} halves that"

    def _warning(self, now: Look) -> str | None:
        """What is wrong, each thing once in a run."""
        said = " ".join(look.warning for look in self.looks if look.warning)
        patient = now.step // self.recipe.train.critic_steps >= PATIENCE
        lately = max(each.label_dependence for each in [*self.looks[-1:], now])
        if SAME_TARGETS not in said and patient and lately < SAME and now.edit_accuracy < UNSEEN:
            what = "the pictures come back as they were" if now.change < SAME else "the label is not heeded"
            return (
                f"{SAME_TARGETS}, {now.label_dependence:.2f} of 255 grey levels apart: {what}. Likely causes: the loss "
                "that classifies domains weighs too little beside the cycle's, labels that do not fit the pictures "
                "(mdtranslate doctor tells), or a learning rate that is too low"
            )
        errors = [each.reconstruction for each in [*self.looks, now]]
        best = min(errors[:-LASTING], default=MUCH)
        if RECONSTRUCTION not in said and min(errors[-LASTING:]) > max(MUCH, GROWN * best) and len(errors) > LASTING:
            return (
                f"{RECONSTRUCTION}: {errors[-1]:.3f}, and it was {best:.3f}. Likely causes: a learning rate "
                "that is too high, the loss of the cycle weighing too little, or a discriminator that is far ahead"
            )
        return None

    @cached_property
    def _judge(self) -> Judge | None:
        return find_judge(self.sources, self.recipe.data.image_size, self.device, self.recipe.judging)

    @cached_property
    def _classifier(self) -> Judge:
        """The judge, where there was one when the run began, else a small classifier."""
        if self.judged_by == "judge" and self._judge is not None:
            return self._judge
        batches = max(1, min(BATCHES, int(SHARE * self.recipe.train.steps)))
        network = train_small(self.sources, self.recipe.data, self.device, self.progress, batches)
        return Judge(self.judged.attributes, network, self.device, {})

    @cached_property
    def trials(self) -> _Trials:
        """What every look tries. Raises `DataError` for a picture that cannot be read."""
        real, before, after, again = list[Tensor](), list[Tensor](), list[Tensor](), list[int]()
        wanted, known = list[Mapping[str, Value]](), list[Mapping[str, Value]]()
        for source in self.sources:
            records, packed = source.shown(self.recipe.data.image_size, self.progress)
            names = self.judged.names[source.number]
            known_of = list(map(source.labelled, records))
            for turn, place in enumerate(choose(known_of, -(-PICTURES // len(self.sources)))):
                has = known_of[place]
                edits = self.encoder.edits(has, source.number)
                # Others for each picture; and the picture's own label, where there is too little else to compare with.
                turned = [edits[(turn + n) % len(edits)] for n in range(min(TARGETS, len(edits)))]
                for n, edit in enumerate([*turned, {}][: max(len(turned), 2)]):
                    if n:
                        again.append(len(real))
                    real.append(normalise(torch.from_numpy(packed.pixels[place : place + 1].copy()))[0])
                    before.append(self.encoder.encode(has, source.number))
                    after.append(self.encoder.encode({**has, **edit}, source.number))
                    wanted.append({names[name]: value for name, value in edit.items()})
                    known.append({names[name]: value for name, value in has.items()})
        return _Trials(torch.stack(real), torch.stack(before), torch.stack(after), again, wanted, known)

    @cached_property
    def _real_accuracy(self) -> float:
        return _mean([agrees for _, agrees in _agree(self._classifier.predict(self.trials.real), self.trials.known)])


def _distances(one: Tensor, other: Tensor) -> list[float]:
    """Mean absolute difference of each picture from its counterpart."""
    distances: list[float] = (one.float() - other.float()).abs().mean((1, 2, 3)).tolist()
    return distances


def _agree(seen: Sequence[Mapping[str, Value]], expected: Sequence[Mapping[str, Value]]) -> Iterator[tuple[str, bool]]:
    """Each expected value, and whether it is seen."""
    for sees, each in zip(seen, expected, strict=True):
        yield from ((name, sees[name] == value) for name, value in each.items())


def _mean(values: Sequence[float], scale: float = 1.0) -> float:
    return round(fmean(values) * scale, 5) if values else 0.0
