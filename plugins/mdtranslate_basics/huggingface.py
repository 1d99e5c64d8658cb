"""The dataset `huggingface`: what the library `datasets` reads, on disk or by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split, Value
from mdtranslate.errors import DataError, PluginError, RecipeError, nearest
from mdtranslate.utils.image_io import decode
from mdtranslate_basics.yes_no import YES, yes_no

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_VALUES: Final = 64


class HuggingFace(Dataset):
    """A dataset of Hugging Face's library `datasets`: a folder that it saved, or a name on the Hub.

    One column holds pictures; every other of the types ClassLabel, bool, string or whole number is an attribute, and a
    missing value is *unknown*. Two values that mean no and yes make a yes/no attribute. What the dataset has no split
    for is drawn from its train split, each picture by its place there.
    """

    name = "huggingface"

    class Config(Dataset.FileConfig):
        path: str = Field(description="a folder that save_to_disk wrote, a folder of data files, or a name on the Hub")
        subset: str | None = Field(None, description="the configuration, where a dataset on the Hub has several")
        revision: str | None = Field(None, description="commit or tag on the Hub, so that a run can be repeated")
        image: str | None = Field(None, description="the column of pictures; the only one that there is if left out")
        ignore: tuple[str, ...] = Field((), description="columns that are no attributes")
        train_split: str = Field("train", description="what the dataset calls its train split")
        val_split: str = Field("validation", description="what it calls its val split, where there is one")
        test_split: str = Field("test", description="what it calls its test split, where there is one")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split, where the dataset has none")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split, where the dataset has none")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if find_spec("datasets") is None:
            raise PluginError("dataset 'huggingface' needs datasets: pip install 'mdtranslate[huggingface]'")

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        """The column, and the fingerprints of all splits, which change with whatever a split holds."""
        return "-".join(["1", self._image, *(f"{split}{own._fingerprint}" for split, own in self._splits.items())])

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        return tuple(Attribute(name, () if yes_no(values) else values) for name, values in self._columns.items())

    def records(self, split: Split) -> Iterator[Record]:
        for own, part in self._splits.items():
            if own not in (split, Split.TRAIN):
                continue
            labels = part.select_columns([name for name in self._columns if name in part.features])
            for place, row in enumerate(labels):
                key = f"{own.value}/{place:08d}"
                if (self._drawn(key) if own is Split.TRAIN else own) is split:
                    yield Record(key, None, dict(self._known(labels.features, row)))

    def load(self, record: Record) -> NDArray[np.uint8]:
        own, _, place = record.key.partition("/")
        cell = self._pictures[Split(own)][int(place)][self._image]
        if cell is None or (cell["bytes"] is None and not cell["path"]):
            raise DataError(f"{self.config.path}: row {int(place)} of {own} has no picture")
        if cell["bytes"] is None:
            return decode(Path(cell["path"]), value_range=self.value_range)
        stream = BytesIO(cell["bytes"])
        stream.name = f"{self.config.path}: row {int(place)} of {own}"  # What a message calls it.
        return decode(stream, value_range=self.value_range)

    def _drawn(self, key: str) -> Split:
        """The split of a picture to train on, where the dataset lacks others."""
        val = 0 if Split.VAL in self._splits else self.config.val
        return Split.drawn(key, val=val, test=0 if Split.TEST in self._splits else self.config.test)

    def _known(self, features: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
        for name, values in self._columns.items():
            text = _text(features[name], row[name]) if name in row else None
            if text is not None:
                yield name, text.lower() in YES if yes_no(values) else text

    @cached_property
    def _splits(self) -> dict[Split, Any]:
        """The dataset's own splits, by ours."""
        found = self._loaded()
        names = {split: getattr(self.config, f"{split.value}_split") for split in Split}
        if names[Split.TRAIN] not in found:
            hint = nearest(names[Split.TRAIN], found)
            raise RecipeError(f"train_split={names[Split.TRAIN]}: {self.config.path} has no such split; {hint}")
        return {split: found[name] for split, name in names.items() if name in found}

    def _loaded(self) -> Mapping[str, Any]:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        import datasets

        datasets.disable_progress_bars()
        folder = Path(self.config.path)
        if not folder.exists() and (folder.is_absolute() or len(folder.parts) > 2 or ".." in folder.parts):
            raise DataError(f"{folder}: there is no such folder")  # A name on the Hub has one slash at most.
        try:
            if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(self.config.path, self.config.subset, revision=self.config.revision)
        except Exception as error:  # Files, network, Hub and their libraries raise anything.
            said = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.config.path}: cannot be loaded: {said}") from error
        return found if isinstance(found, Mapping) else {self.config.train_split: found}

    @cached_property
    def _image(self) -> str:
        """The column of pictures."""
        from datasets import Image

        features = self._splits[Split.TRAIN].features
        pictures = [name for name, feature in features.items() if isinstance(feature, Image)]
        if self.config.image is not None:
            if self.config.image in pictures:
                return str(self.config.image)
            raise RecipeError(
                f"image={self.config.image}: {self.config.path} has no such column of pictures; "
                f"{nearest(self.config.image, pictures)}"
            )
        if len(pictures) == 1:
            return str(pictures[0])
        if not pictures:
            raise DataError(f"{self.config.path}: has no column of pictures")
        raise RecipeError(f"{self.config.path}: has pictures in {', '.join(pictures)}; image=... names one")

    @cached_property
    def _pictures(self) -> dict[Split, Any]:
        """The columns of pictures, as bytes or paths: ours is the only decoder."""
        from datasets import Image

        column = self._image
        return {
            split: own.select_columns([column]).cast_column(column, Image(decode=False))
            for split, own in self._splits.items()
        }

    @cached_property
    def _columns(self) -> dict[str, tuple[str, ...]]:
        """The columns that are attributes, each with its values as texts."""
        features, found = self._splits[Split.TRAIN].features, dict[str, tuple[str, ...]]()
        for name in self.config.ignore:
            if name not in features:
                raise RecipeError(f"ignore={name}: {self.config.path} has no such column; {nearest(name, features)}")
        for name, feature in features.items():
            if name == self._image or name in self.config.ignore or not _labels(feature):
                continue
            values = tuple(getattr(feature, "names", None) or self._values(name, feature))
            if not 2 <= len(values) <= MOST_VALUES:
                raise DataError(
                    f"{self.config.path}: column {name!r} holds {len(values)} different values, and an attribute has 2 "
                    f'to {MOST_VALUES}; if it is none, leave it out with ignore=["{name}"]'
                )
            found[name] = values
        if not found:
            raise DataError(f"{self.config.path}: has no column that could be an attribute among {', '.join(features)}")
        return found

    def _values(self, name: str, feature: Any) -> list[str]:
        if feature.dtype == "bool":
            return ["no", "yes"]
        parts = [own.unique(name) for own in self._splits.values() if name in own.features]
        texts = {_text(feature, cell) for part in parts for cell in part}
        return sorted(text for text in texts if text is not None)


def _labels(feature: Any) -> bool:
    """Whether a column of this type can be an attribute."""
    dtype = getattr(feature, "dtype", "")
    return isinstance(dtype, str) and (dtype in ("bool", "string", "large_string") or dtype.startswith(("int", "uint")))


def _text(feature: Any, cell: Any) -> str | None:
    """A cell in words; None where nothing is known."""
    if cell is None:
        return None
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if hasattr(feature, "int2str") and isinstance(cell, int):
        return None if cell < 0 else str(feature.int2str(cell))  # The library's own word for a missing class is -1.
    return str(cell).strip() or None
