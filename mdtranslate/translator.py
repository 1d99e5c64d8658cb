"""A trained generator with its encoder and its image preparation, ready to use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from mdtranslate import shipping
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.images import decode, to_rgb
from mdtranslate.data.prepare import Preparation
from mdtranslate.device import pick_device
from mdtranslate.edits import Edits
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.interfaces import Crop, Value
from mdtranslate.model import Model
from mdtranslate.translation import NOISE

Picture = str | Path | Image.Image | NDArray[np.uint8]
Size = Literal["native"] | None

AT_ONCE = 32  # Pictures of the training size in a batch; fewer of larger ones.


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
        credit: Sequence[str] = (),
        trained: Mapping[str, Any] | None = None,
    ) -> None:
        """`crops`: the square that each dataset cuts out of its pictures, by its name.

        `trained`: facts for people.
        """
        self.model, self.image_size = model, image_size
        self.encoder = model.encoder
        self.crops, self.credit, self.trained = dict(crops), tuple(credit), dict(trained or {})
        self.words = Edits(model.encoder)

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs, whole or not at all. Raises `StorageError`."""
        facts = {
            "image_size": self.image_size,
            "crops": {name: asdict(crop) for name, crop in self.crops.items()},
            "credit": list(self.credit),
            "trained": self.trained,
        }
        shipping.write(folder, self.model, facts)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Translator:
        """The translator of a run, or of a folder that `save` wrote, ready on `device`: auto, cpu, cuda, cuda:1, mps.

        Raises `RecipeError` for a device that is not there, `CheckpointError` where there is no translator or a damaged
        one, `PluginError` where a plugin that it needs is not installed.
        """
        where = pick_device(device, tune=False) if isinstance(device, str) else device
        model, facts = shipping.read(Path(path))
        return cls(
            model.to(where),
            image_size=facts.image_size,
            crops=facts.crops,
            credit=facts.credit,
            trained=facts.trained,
        )

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next((each.device for each in self.model.generator.parameters()), torch.device("cpu"))

    @property
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

    @torch.inference_mode()
    def translate(self, real: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1] from labels `source` to `target` [B, L]: same shape and range, on `device`.

        Any size: sides are padded to what the generator needs, and cut back.
        """
        generator, device = self.model.generator, self.device
        real, source, target = (each.to(device) for each in (real, source, target))
        height, width = real.shape[2:]
        down, right = self._missing(height), self._missing(width)
        if down or right:
            real = F.pad(real, (0, right, 0, down), mode="reflect" if down < height and right < width else "replicate")
        # The same noise for every picture and call, so that a picture has one translation.
        noise = torch.randn(1, NOISE, generator=torch.Generator().manual_seed(0)).to(device).expand(len(real), -1)
        with _evaluating(generator):
            fake: Tensor = generator(real, source, target, generator.code(target, noise))
        return fake[:, :, :height, :width].clamp(-1, 1)

    @torch.inference_mode()
    def infer(self, real: Tensor, label: Tensor, changing: Collection[str] | None = None) -> Tensor:
        """Labels [B, L] in which what `label` leaves unknown is what the discriminator takes `real` for, on `device`.

        `real`: [B, 3, H, W] in [-1, 1], scaled to the training size here. What the generator does not read may stay
        unknown: there are those that read only what an edit changes, the attributes `changing` (None: any). Where
        nothing else is unknown, no network runs. Raises `RecipeError` that names what is unknown where the
        discriminator does not classify.
        """
        label = label.to(self.device)
        unknown, reads = self._unknown(label), self.model.generator.reads
        if reads != "all" and changing is not None:
            unknown = [each for each in unknown if each in changing]
        if reads == "none" or not unknown:
            return label
        side = (self.image_size, self.image_size)
        real = real.to(self.device)
        if real.shape[2:] != side:
            real = F.interpolate(real, side, mode="bilinear", antialias=True).clamp(-1, 1)
        discriminator, logits = self.model.discriminator, None
        if discriminator is not None:
            # One that must be told what it judges refuses a picture of which nothing is known: it tells nothing, too.
            with _evaluating(discriminator), suppress(RecipeError):
                logits = discriminator(real, label).logits
        if logits is None:
            why = "no network tells"
            if discriminator is not None:
                why = f"the discriminator {discriminator.name!r} classifies nothing"
            raise RecipeError(
                f"{', '.join(unknown)}: unknown of the picture, and {why}; give "
                f"{'it' if len(unknown) == 1 else 'them'} (--from {unknown[0]}=..., in Python source={{...}})"
            )
        return self.encoder.infer(logits, label)

    def __call__(
        self,
        image: Picture,
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
        edits: Mapping[str, Value] | None = None,
        **more: Value,
    ) -> Image.Image:
        """`image` with every attribute of `edits` changed, all at once; keywords are edits too: `hair="Blond_Hair"`.

        Edits that belong to several datasets are made one after the other, in the order in which they are given.
        `image`: a file, a Pillow image, or uint8 [H, W, 3]. `source`: what is known of it; the rest is inferred.
        `dataset` says which one the picture is like: it is cropped as that one is, and that one's attributes are meant
        where several have them (or `edits={"celeba.Male": True}`). By default it is the dataset of the edit.
        By default prepared as in training and `image_size` pixels square; `size="native"` keeps the picture's size.
        Raises `RecipeError` for what cannot be set, `DataError` for a picture that cannot be read.
        """
        changes = self.words.read_some({**(edits or {}), **more}, dataset)
        own = self.encoder.datasets[next(iter(changes))] if len(changes) == 1 else None
        first = own if dataset is None else dataset
        known, pixels = self.words.read(source or {}, first), _pixels(image)
        for place, (number, change) in enumerate(changes.items()):
            cut = place == 0 or size is not None  # What was prepared once is not cut again.
            made = self._translated(pixels, number, known.get(number, {}), change, size, dataset, cut=cut)
            (picture,) = made.values()
            pixels = np.asarray(picture)
        return picture

    def all_edits(
        self,
        image: Picture,
        *,
        dataset: str | None = None,
        source: Mapping[str, Value] | None = None,
        size: Size = None,
    ) -> dict[str, Image.Image]:
        """Every change of one attribute of a picture, by what it is (`hair=Blond_Hair`); arguments as for a call.

        Each value of an exclusive attribute, the opposite of each yes/no one (both where it is not known what it is);
        of all datasets, or of `dataset`.
        """
        numbers = range(len(self.encoder.datasets)) if dataset is None else [self.words.number(dataset)]
        known, pixels = self.words.everywhere(self.words.read(source or {}, dataset)), _pixels(image)
        done: dict[str, Image.Image] = {}
        for number in numbers:
            # What datasets share is made once, as of the first.
            done = done | {
                name: made
                for name, made in self._translated(pixels, number, known.get(number, {}), None, size).items()
                if name not in done
            }
        return done

    def prepare(self, image: Picture, *, dataset: str | None = None, size: Size = None) -> NDArray[np.uint8]:
        """`image` as the generator is shown it: uint8 [S, S, 3], or [H, W, 3] at its own size."""
        if size not in (None, "native"):
            raise RecipeError(f"size={size!r}: is 'native', or left out for the size of training")
        pixels = _pixels(image)
        crop = self.crops.get(dataset or self.encoder.datasets[0], Crop())
        return pixels if size == "native" else Preparation(crop, self.image_size)(pixels)

    def _translated(
        self,
        pixels: NDArray[np.uint8],
        number: int,
        known: Mapping[str, Value],
        change: dict[str, Value] | None,
        size: Size,
        dataset: str | None = None,
        *,
        cut: bool = True,
    ) -> dict[str, Image.Image]:
        """One change of a picture, or (None) each change of one attribute, as dataset `number` labels them.

        `dataset`: whose crop it gets. `cut`: prepare it first.
        """
        dataset = dataset or self.encoder.datasets[number]
        shown = self.prepare(pixels, dataset=dataset, size=size) if cut else pixels
        view = normalise(torch.from_numpy(shown.copy())[None])
        # The classifier is asked about what it was trained on, whatever the size of the translation.
        trained = view if size is None else normalise(torch.from_numpy(self.prepare(pixels, dataset=dataset))[None])
        source = self.infer(trained, self.encoder.encode(known, number)[None], change)
        before = self.encoder.decode(source[0])
        changes = self.words.single(number, before) if change is None else [change]
        done: dict[str, Image.Image] = {}
        room = max(1, AT_ONCE * self.image_size**2 // (view.shape[2] * view.shape[3]))
        for start in range(0, len(changes), room):
            batch = changes[start : start + room]
            target = torch.stack([self.encoder.encode({**before, **each}, number) for each in batch])
            fake = self.translate(view.expand(len(batch), -1, -1, -1), source.expand(len(batch), -1), target)
            for each, made in zip(batch, to_pixels(fake), strict=True):
                done[self.words.write(number, each)] = Image.fromarray(made)
        return done

    def _missing(self, side: int) -> int:
        """Pixels to pad a side with. Two multiples at least: over a single value, normalisation fails."""
        multiple = self.model.generator.multiple
        return max(-(-side // multiple) * multiple, min(2 * multiple, self.image_size)) - side

    def _unknown(self, label: Tensor) -> list[str]:
        """Names of the attributes that some of labels [B, L] leave unknown of their dataset."""
        found: dict[str, None] = {}
        for each, number in zip(label, self.encoder.dataset(label).tolist(), strict=True):
            known = self.encoder.decode(each)
            found |= {own.name: None for own in self.encoder.attributes[number] if own.name not in known}
        return list(found)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards as before, for a network that is still being trained."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _pixels(image: Picture) -> NDArray[np.uint8]:
    if isinstance(image, str | Path):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if not isinstance(image, np.ndarray):
        raise DataError(f"a {type(image).__name__} is no picture; a file, a Pillow image or uint8 [H, W, 3] is")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"an array of {image.dtype} {list(image.shape)} is no picture; uint8 [H, W, 3] is")
    return image
