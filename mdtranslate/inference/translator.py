"""A trained generator with its encoder and its image preparation, ready to use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mdtranslate.api import Crop, Value
from mdtranslate.config.model_bundle import Model
from mdtranslate.data.batches import normalise, to_device
from mdtranslate.inference import preprocessing, serialization
from mdtranslate.inference.edit_parser import Edits, check_arguments
from mdtranslate.inference.preprocessing import Picture, Pixels, Size, View
from mdtranslate.inference.runner import Inference, Row
from mdtranslate.utils.device import Precision, pick_device, plain_defaults
from mdtranslate.utils.grey_range import Range

T = TypeVar("T")
P = TypeVar("P", bound=Picture)


class Translator:
    """Translates pictures.

    ::

        translator = mdtranslate.Translator.load("runs/stargan-celeba-001")
        translator("photo.jpg", hair="Blond_Hair", Eyeglasses=True).save("blond.png")
    """

    def __init__(
        self,
        model: Model,
        *,
        image_size: int,
        crops: Mapping[str, Crop],
        ranges: Mapping[str, Range] | None = None,
        credit: Sequence[str] = (),
        trained: Mapping[str, Any] | None = None,
        precision: Precision = "fp32",
        compiled: bool = False,
    ) -> None:
        """`crops`: the square that each dataset cuts out of its pictures, by its name; `ranges`: the grey values that
        are black and white in its files, where it says so; `trained`: facts for people. The rest is as for `load`."""
        self.model, self.image_size = model, image_size
        self.inference = Inference(model, image_size, precision, compiled=compiled)
        self.encoder = model.encoder
        self.crops, self.ranges = dict(crops), dict(ranges or {})
        self.credit, self.trained = tuple(credit), dict(trained or {})
        self.words = Edits(model.encoder)

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs, whole or not at all.

        Raises `StorageError`, and `RecipeError` for the current folder where it is empty.
        """
        crops = {name: asdict(crop) for name, crop in self.crops.items()}
        facts: dict[str, Any] = {"image_size": self.image_size, "crops": crops, "ranges": self.ranges}
        serialization.write(folder, self.model, {**facts, "credit": list(self.credit), "trained": self.trained})

    @classmethod
    @plain_defaults()
    def load(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        *,
        precision: Precision = "fp32",
        compiled: bool = False,
    ) -> Translator:
        """The translator of a run, or of a folder that `save` wrote, ready on `device`: auto, cpu, cuda, cuda:1, mps.

        `precision`: the generator's arithmetic. bf16 is faster where the device has it, and changes pictures by some
        grey levels; tf32 is of NVIDIA's GPUs. `compiled`: the generator is compiled for pictures of the training size
        when the first batch comes, which takes a minute; where that cannot be done, a line is logged that says why.

        Raises `RecipeError` for a device or precision that is not there, `CheckpointError` where there is no translator
        or a damaged one, `PluginError` where a plugin that it needs is not installed.
        """
        where = pick_device(device, tune=False) if isinstance(device, str) else device
        model, facts = serialization.read(Path(path))
        return cls(
            model.to(where),
            image_size=facts.image_size,
            crops=facts.crops,
            ranges=facts.ranges,
            credit=facts.credit,
            trained=facts.trained,
            precision=precision,
            compiled=compiled,
        )

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return self.inference.device

    @property
    @plain_defaults()
    def usage(self) -> str:
        """What `mdtranslate translate RUN` is given to make every edit of a picture: also what must be told of it."""
        told: dict[str, None] = {}
        for number, own in enumerate(self.encoder.attributes):
            label = self.encoder.encode({}, number)[None]
            try:
                self.infer(torch.zeros(1, 3, self.image_size, self.image_size), label)
            except Exception:  # Whatever a discriminator raises that is asked of an unknown domain, it tells nothing.
                told |= {quote(f"{self.words.name(number, each.name)}=VALUE"): None for each in own}
        return " ".join(["PHOTO --all", *(f"--from {each}" for each in told)])

    def edits(self) -> dict[str, tuple[str, ...]]:
        """Every attribute that can be set, with its values as text."""
        return self.words.table()

    @plain_defaults()
    def translate(self, real: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1], of any size, from label `source` to `target` [B, L]; float32, on `device`."""
        return self.inference.translate(real, source, target)

    @plain_defaults()
    def infer(self, real: Tensor, label: Tensor, changing: Collection[str] | None = None) -> Tensor:
        """Labels [B, L] in which what `label` leaves unknown is what the discriminator takes `real` for, on `device`.

        `real`: [B, 3, H, W] in [-1, 1], scaled to the training size here. What the generator does not read may stay
        unknown: there are those that read only what an edit changes, the attributes `changing` (None: any). Where
        nothing else is unknown, no network runs. Raises `RecipeError` that names what is unknown where the
        discriminator does not classify.
        """
        return self.inference.infer(real, label, changing)

    @overload
    def __call__(
        self,
        image: Picture,
        /,
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
        edits: Mapping[str, Value] | None = None,
        **more: Value,
    ) -> Image.Image: ...
    @overload
    def __call__(
        self,
        image: list[P],
        /,
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
        edits: Mapping[str, Value] | None = None,
        **more: Value,
    ) -> list[Image.Image]: ...
    @plain_defaults()
    def __call__(
        self,
        image: Picture | list[P],
        /,
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
        edits: Mapping[str, Value] | None = None,
        **more: Value,
    ) -> Image.Image | list[Image.Image]:
        """`image` with every attribute of `edits` changed, all at once; keywords are edits too: `hair="Blond_Hair"`.

        Attributes that are called like an argument are changed by `edits` alone. Edits that belong to several datasets
        are made one after the other, in the order in which they are given.
        `image`: a file, a Pillow image, uint8 [H, W, 3], or a `view`; for a list of them there is a list of results,
        made in batches. `source`: what is known of it, or of each; the rest is inferred.
        `dataset` says which one the picture is like: it is cropped as that one is, and that one's attributes are meant
        where several have them (or `edits={"celeba.Male": True}`). By default it is the dataset of the edit.
        By default prepared as in training and `image_size` pixels square; `size="native"` keeps the picture's size.
        Raises `RecipeError` for what cannot be set, `DataError` for a picture that cannot be read.
        """
        check_arguments(dataset=dataset, source=source, size=size, edits=edits)
        changes = self.words.read_some({**(edits or {}), **more}, dataset)
        own = self.encoder.datasets[next(iter(changes))] if len(changes) == 1 else None
        known = self.words.read(source or {}, own if dataset is None else dataset)

        def work(shown: list[View]) -> list[Image.Image]:
            made: list[Pixels] = []
            for number, change in changes.items():
                if made:
                    shown = [self._again(*pair) for pair in zip(made, shown, strict=True)]
                like = dataset or self.encoder.datasets[number]
                labels = self._labels(shown, like, self.encoder.encode(known.get(number, {}), number), change)
                made = self.inference.pixels(
                    [self._row(*pair, number, like, change) for pair in zip(shown, labels, strict=True)]
                )
            return [Image.fromarray(each) for each in made]

        return self._each(image, size, 1, work)

    @overload
    def all_edits(
        self,
        image: Picture,
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
    ) -> dict[str, Image.Image]: ...
    @overload
    def all_edits(
        self,
        image: list[P],
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
    ) -> list[dict[str, Image.Image]]: ...
    @plain_defaults()
    def all_edits(
        self,
        image: Picture | list[P],
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
    ) -> dict[str, Image.Image] | list[dict[str, Image.Image]]:
        """Every change of one attribute of a picture, by what it is (`hair=Blond_Hair`); arguments as for a call.

        Each value of an exclusive attribute, the opposite of each yes/no one (both where it is not known what it is);
        of all datasets, or of `dataset`.
        """
        numbers = range(len(self.encoder.datasets)) if dataset is None else [self.words.number(dataset)]
        known = self.words.everywhere(self.words.read(source or {}, dataset))

        def work(shown: list[View]) -> list[dict[str, Image.Image]]:
            rows: list[Row] = []
            found: list[dict[str, int]] = [{} for _ in shown]  # Places in `rows`.
            for number in numbers:
                like = self.encoder.datasets[number]
                labels = self._labels(shown, like, self.encoder.encode(known[number], number), None)
                for each, label, own in zip(shown, labels, found, strict=True):
                    for change in self.words.single(number, self.encoder.decode(label)):
                        name = self.words.write(number, change)
                        if name not in own:  # What datasets share is made once, as of the first.
                            own[name] = len(rows)
                            rows.append(self._row(each, label, number, like, change))
            made = self.inference.pixels(rows)
            return [{name: Image.fromarray(made[place]) for name, place in own.items()} for own in found]

        return self._each(image, size, self.words.singles, work)

    def view(self, image: Picture, *, size: Size = None) -> View:
        """All that networks are shown of `image`, to be made ahead and given in its place. Raises `DataError`."""
        crops = {each: self.crops.get(each, Crop()) for each in self.encoder.datasets}
        return preprocessing.view(image, crops, self.ranges, self.image_size, size)

    def grouped(self, named: Iterable[tuple[T, View]], edits: int = 1) -> Iterator[dict[T, View]]:
        """Views by their names, in groups: as many as make one batch when `edits` are made of each."""
        return preprocessing.grouped(named, self.inference.room // max(1, edits))

    def prepare(self, image: Picture, *, dataset: str | None = None, size: Size = None) -> Pixels:
        """`image` as the generator is shown it: uint8 [S, S, 3], or [H, W, 3] at its own size."""
        return self.view(image, size=size).shown(self.encoder.datasets[self.words.number(dataset) if dataset else 0])

    def _each(
        self, image: Picture | list[P], size: Size, edits: int, work: Callable[[list[View]], list[T]]
    ) -> T | list[T]:
        """What `work` makes of a picture, or of each of a list, group by group."""
        if not isinstance(image, list):
            return work([self.view(image, size=size)])[0]
        shown = ((place, self.view(each, size=size)) for place, each in enumerate(image))
        return [made for group in self.grouped(shown, edits) for made in work(list(group.values()))]

    def _labels(
        self, shown: Sequence[View], like: str, label: Tensor, changing: Collection[str] | None
    ) -> Sequence[Tensor]:
        """The labels [L] of pictures of which `label` is known, on the processor."""
        if self.encoder.known(label[None]).all():
            return [label] * len(shown)
        # The classifier is asked about what it was trained on, whatever the size of the translation.
        real = normalise(to_device(np.stack([each.squares[like] for each in shown]), self.device))
        return self.infer(real, label.expand(len(shown), -1), changing).cpu().unbind()

    def _row(self, shown: View, label: Tensor, number: int, like: str, change: Mapping[str, Value]) -> Row:
        target = self.encoder.encode({**self.encoder.decode(label), **change}, number)
        return Row(shown.shown(like), label, target)

    def _again(self, made: Pixels, before: View) -> View:
        """What is shown of a translation for the next one: what was prepared once is not cut again."""
        if before.whole is None:
            return View(dict.fromkeys(self.encoder.datasets, made))
        return self.view(made, size="native")
