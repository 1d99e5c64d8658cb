"""CelebA (Liu et al., ICCV 2015), from its published files, Kaggle's copy or torchvision's folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from mdtranslate import DECIDED_BY_CONTENT, Attribute, Crop, Dataset, Note, Record, Split, Value
from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate_stargan.celeba_files import CelebAFiles

WIDTH: Final = 178
"""Width of the aligned images in pixels; their height is 218."""

# Split of StarGAN's released code: size of its test split, and the seed of its shuffle.
STARGAN_TEST, STARGAN_SEED = 1_999, 1234

# Split of AttGAN (He et al. 2019), in the order of the list: the rest is the test split.
ATTGAN_TRAIN, ATTGAN_VAL = 182_000, 637


class CelebA(Dataset):
    """CelebA: 202,599 aligned faces with 40 yes/no attributes.

    `root` holds `img_align_celeba/`, `list_attr_celeba.txt` and `list_eval_partition.txt`, side by side or in `Img/`,
    `Anno/` and `Eval/` as published; or the `.csv` lists of Kaggle; or torchvision's folder `celeba/` with all three.
    """

    name = "celeba"
    credit = "images of CelebA (Liu et al. 2015), for non-commercial research only"

    class Config(Dataset.Config):
        """Folder, crop, split and joined attributes."""

        root: Path = Field(Path("data/celeba"), description="folder that holds img_align_celeba/ and the two lists")
        crop: int = Field(WIDTH, ge=16, le=WIDTH, description="side of the centre crop in pixels")
        split: Literal["official", "stargan", "attgan"] = Field(
            "official",
            description="official: the published split; stargan: 1,999 test images drawn as in StarGAN's released "
            "code, and no val split; attgan: the first 182,000 images for train, then 637 for val and 19,962 for test",
        )
        exclusive: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(
            default_factory=dict,
            description="yes/no attributes to join into one attribute with several values, of which at most one holds: "
            '{hair = ["Black_Hair", "Blond_Hair"]}',
        )

        partial: bool = Field(
            False,
            description="skip images of the list that are missing, for an incomplete copy of the dataset",
            json_schema_extra=DECIDED_BY_CONTENT,
        )

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading any file."""
        super().__init__(config)
        self.crop = Crop(config.crop / WIDTH)
        self._files = CelebAFiles(config.root)

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        """The attributes of `exclusive`, then those of the list that it does not join."""
        names, groups = self._files.attribute_names, self.config.exclusive
        joined = [value for values in groups.values() for value in values]
        for value in joined:
            if value not in names:
                raise RecipeError(
                    f"datasets.celeba.exclusive: {self._files.labels} has no attribute {value!r}; "
                    f"{nearest(value, names)}"
                )
            if joined.count(value) > 1:
                raise RecipeError(f"datasets.celeba.exclusive: names {value!r} twice")
        if clash := sorted({*groups} & {*names}):
            raise RecipeError(
                f"datasets.celeba.exclusive: {clash[0]!r} is an attribute already; choose another name for the joined "
                "attribute"
            )
        joined_attributes = tuple(Attribute(name, values, optional=True) for name, values in groups.items())
        return joined_attributes + tuple(Attribute(name) for name in names if name not in joined)

    def records(self, split: Split) -> Iterable[Record]:
        """Lists the records of a split, in the order of the published list; see `Dataset.records`."""
        folder, split_of = self._files.image_folder, self._split_function()
        existing = self._files.image_names() if self.config.partial else None
        for index, (line, name, values) in enumerate(self._files.rows()):
            if split_of(index, line, name) is split and (existing is None or name in existing):
                yield Record(name, folder / name, self._join(values))

    def notes(self) -> Iterator[Note]:
        """Reports images of the list that are missing."""
        existing, count = self._files.image_names(), self._files.count
        if len(existing) >= count:  # A complete copy: skip reading 200,000 lines again.
            return
        if missing := sum(name not in existing for _, name, _ in self._files.rows()):
            message = (
                f"{missing:,} of the {count:,} images in {self._files.labels} are missing from "
                f"{self._files.image_folder}"
            )
            remedy = "they are skipped" if self.config.partial else "partial=true skips them"
            yield Note("missing-files", message, remedy, (str(self._files.image_folder),))

    def _split_function(self) -> Callable[[int, int, str], Split]:
        """Returns a function from the position of an image in the list, its line and its file name to its split."""
        files = self._files
        if self.config.split == "official":
            partition = dict(files.partition())

            def official(index: int, line: int, name: str) -> Split:
                if name not in partition:
                    raise DataError(f"{files.labels}:{line}: {name} has no split in {files.splits}")
                return partition[name]

            return official
        count, val_end = files.count, ATTGAN_TRAIN + ATTGAN_VAL
        min_count = (STARGAN_TEST if self.config.split == "stargan" else val_end) + 1
        if count < min_count:
            raise DataError(f"{files.labels}: has {count} images; split={self.config.split} needs at least {min_count}")
        if self.config.split == "attgan":
            return lambda index, *_: (
                Split.TRAIN if index < ATTGAN_TRAIN else Split.VAL if index < val_end else Split.TEST
            )
        # The released code shuffles the lines of the list after `random.seed(1234)`; the first 1,999 are its test set.
        shuffled = list(range(count))
        random.Random(STARGAN_SEED).shuffle(shuffled)
        test = set(shuffled[:STARGAN_TEST])
        return lambda index, *_: Split.TEST if index in test else Split.TRAIN

    def _join(self, values: Mapping[str, bool]) -> dict[str, Value]:
        """Replaces yes/no attributes by the joined ones; one with two values in an image is unknown."""
        result: dict[str, Value] = dict(values)
        for name, members in self.config.exclusive.items():
            present = [member for member in members if result.pop(member)]
            if len(present) < 2:
                result[name] = present[0] if present else None
        return result
