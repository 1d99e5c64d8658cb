"""The dataset `huggingface`: datasets that the library `datasets` reads, from disk or from the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split, Value, read_image
from mdtranslate.errors import DataError, PluginError, RecipeError, nearest
from mdtranslate_basics.cell_values import YES, is_yes_no

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_VALUES: Final = 64
"""Largest number of different values of an attribute."""


class HuggingFace(Dataset):
    """A dataset of Hugging Face's library `datasets`: a folder that it saved, a folder of data files, or a Hub name.

    One column holds images. Every other column of type ClassLabel, bool, string or integer is an attribute; missing
    values are *unknown*, and a column of only yes and no (in any spelling) is a yes/no attribute. A split that the
    dataset does not have is drawn from its train split, by the hash of an image's row number.
    """

    name = "huggingface"

    class Config(Dataset.FileConfig):
        """Where the dataset is, its columns and its splits."""

        path: str = Field(
            description="folder that save_to_disk wrote, folder of data files, or name of a dataset on the Hub"
        )
        subset: str | None = Field(None, description="configuration of a dataset on the Hub that has several")
        revision: str | None = Field(
            None, description="commit or tag on the Hub, so that runs can be reproduced; the newest if left out"
        )
        image: str | None = Field(
            None, description="name of the column of images; the only one of that type if left out"
        )
        ignore: tuple[str, ...] = Field((), description="columns that are not attributes")
        train_split: str = Field("train", description="name of the dataset's train split")
        val_split: str = Field("validation", description="name of the dataset's val split, if it has one")
        test_split: str = Field("test", description="name of the dataset's test split, if it has one")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split if the dataset has none")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split if the dataset has none")

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading any file.

        Raises:
            PluginError: The library is not installed.
        """
        super().__init__(config)
        if find_spec("datasets") is None:
            raise PluginError("dataset 'huggingface' needs datasets: pip install 'mdtranslate[huggingface]'")

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        """The image column and the fingerprints of all splits, which change with their content."""
        fingerprints = [f"{split}{table._fingerprint}" for split, table in self._splits.items()]
        return "-".join(["1", self._image_column, *fingerprints])

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        """The columns that can be attributes.

        Raises:
            DataError: The dataset cannot be loaded, or a column has too few or too many different values.
            RecipeError: A setting names a column or split that does not exist.
        """
        return tuple(
            Attribute(name, () if is_yes_no(values) else values) for name, values in self._column_values.items()
        )

    def records(self, split: Split) -> Iterator[Record]:
        """Lists the records of a split, in the order of the rows; see `Dataset.records`."""
        for table_split, table in self._splits.items():
            if table_split not in (split, Split.TRAIN):
                continue
            labels = table.select_columns([name for name in self._column_values if name in table.features])
            for number, row in enumerate(labels):
                key = f"{table_split.value}/{number:08d}"
                if (self._draw_split(key) if table_split is Split.TRAIN else table_split) is split:
                    yield Record(key, None, dict(self._row_values(labels.features, row)))

    def load(self, record: Record) -> NDArray[np.uint8]:
        """Decodes the image of a row; see `Dataset.load`."""
        split, _, number = record.key.partition("/")
        row = f"{self.config.path}: row {int(number)} of {split}"
        cell = self._image_tables[Split(split)][int(number)][self._image_column]
        if cell is None or (cell["bytes"] is None and not cell["path"]):
            raise DataError(f"{row} has no image")
        if cell["bytes"] is None:
            return read_image(Path(cell["path"]), value_range=self.value_range)
        stream = BytesIO(cell["bytes"])
        stream.name = row  # For messages.
        return read_image(stream, value_range=self.value_range)

    def _draw_split(self, key: str) -> Split:
        """Returns the split of a training row, some of which are used for splits that the dataset does not have."""
        val = 0 if Split.VAL in self._splits else self.config.val
        return Split.from_hash(key, val=val, test=0 if Split.TEST in self._splits else self.config.test)

    def _row_values(self, features: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
        """Yields the known attributes of a row."""
        for name, values in self._column_values.items():
            text = _as_text(features[name], row[name]) if name in row else None
            if text is not None:
                yield name, text.lower() in YES if is_yes_no(values) else text

    @cached_property
    def _splits(self) -> dict[Split, Any]:
        """The tables of the dataset by split."""
        tables = self._load_tables()
        names = {split: getattr(self.config, f"{split.value}_split") for split in Split}
        if names[Split.TRAIN] not in tables:
            hint = nearest(names[Split.TRAIN], tables)
            raise RecipeError(f"train_split={names[Split.TRAIN]}: {self.config.path} has no such split; {hint}")
        return {split: tables[name] for split, name in names.items() if name in tables}

    def _load_tables(self) -> Mapping[str, Any]:
        """Loads the tables by the dataset's own names of splits."""
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        import datasets

        datasets.disable_progress_bars()
        folder = Path(self.config.path)
        if not folder.exists() and (folder.is_absolute() or len(folder.parts) > 2 or ".." in folder.parts):
            raise DataError(f"{folder}: there is no such folder")  # Names on the Hub have at most one slash.
        try:
            if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
                tables = datasets.load_from_disk(str(folder))
            else:
                tables = datasets.load_dataset(self.config.path, self.config.subset, revision=self.config.revision)
        except Exception as error:  # The library raises anything, for files, network and Hub.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.config.path}: cannot be loaded: {reason}") from error
        return tables if isinstance(tables, Mapping) else {self.config.train_split: tables}

    @cached_property
    def _image_column(self) -> str:
        from datasets import Image

        features = self._splits[Split.TRAIN].features
        columns = [name for name, feature in features.items() if isinstance(feature, Image)]
        if self.config.image is not None:
            if self.config.image in columns:
                return str(self.config.image)
            raise RecipeError(
                f"image={self.config.image}: {self.config.path} has no such column of images; "
                f"{nearest(self.config.image, columns)}"
            )
        if len(columns) == 1:
            return str(columns[0])
        if not columns:
            raise DataError(f"{self.config.path}: has no column of images")
        raise RecipeError(f"{self.config.path}: has images in columns {', '.join(columns)}; set image to one of them")

    @cached_property
    def _image_tables(self) -> dict[Split, Any]:
        """The image columns by split, as bytes or paths: images are decoded by `read_image`, not by the library."""
        from datasets import Image

        column = self._image_column
        return {
            split: table.select_columns([column]).cast_column(column, Image(decode=False))
            for split, table in self._splits.items()
        }

    @cached_property
    def _column_values(self) -> dict[str, tuple[str, ...]]:
        """The values of the columns that are attributes, as text."""
        features, column_values = self._splits[Split.TRAIN].features, dict[str, tuple[str, ...]]()
        for name in self.config.ignore:
            if name not in features:
                raise RecipeError(f"ignore={name}: {self.config.path} has no such column; {nearest(name, features)}")
        for name, feature in features.items():
            if name == self._image_column or name in self.config.ignore or not _can_be_attribute(feature):
                continue
            values = tuple(getattr(feature, "names", None) or self._distinct_values(name, feature))
            if not 2 <= len(values) <= MAX_VALUES:
                raise DataError(
                    f"{self.config.path}: column {name!r} has {len(values)} different values, and an attribute needs 2 "
                    f'to {MAX_VALUES}; leave it out with ignore=["{name}"]'
                )
            column_values[name] = values
        if not column_values:
            raise DataError(f"{self.config.path}: none of the columns {', '.join(features)} can be an attribute")
        return column_values

    def _distinct_values(self, name: str, feature: Any) -> list[str]:
        if feature.dtype == "bool":
            return ["no", "yes"]
        cells = [cell for table in self._splits.values() if name in table.features for cell in table.unique(name)]
        texts = {_as_text(feature, cell) for cell in cells}
        return sorted(text for text in texts if text is not None)


def _can_be_attribute(feature: Any) -> bool:
    """Returns whether a column of this type can be an attribute."""
    dtype = getattr(feature, "dtype", "")
    return isinstance(dtype, str) and (dtype in ("bool", "string", "large_string") or dtype.startswith(("int", "uint")))


def _as_text(feature: Any, cell: Any) -> str | None:
    """Returns a cell as text, or None if it is unknown."""
    if cell is None:
        return None
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if hasattr(feature, "int2str") and isinstance(cell, int):
        return None if cell < 0 else str(feature.int2str(cell))  # The library uses -1 for a missing class.
    return str(cell).strip() or None
