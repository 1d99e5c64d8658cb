"""The dataset `folder`: pictures in a folder per domain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.data.images import IMAGE_SUFFIXES, find_pictures, holds_pictures, subfolders
from mdtranslate.errors import DataError


class Folder(Dataset):
    """Pictures in a folder per domain, with or without folders for the splits above them::

        pets/cat/*.jpg          pets/train/cat/*.jpg
        pets/dog/*.jpg          pets/test/dog/*.jpg

    A folder's name is the value of one exclusive attribute; pictures may lie in folders of their own below it. What
    has no folder of its own, val or test, is drawn from the pictures to train on, each by its name alone: it stays
    in its split when others are added.
    """

    name = "folder"

    class Config(Dataset.Config):
        root: Path = Field(description="folder that holds a folder per domain, or train/, val/ and test/ with those")
        attribute: str = Field("domain", pattern=r"^\w+$", description="what the attribute is called")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split, where it has no folder")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split, where it has no folder")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.root: Path = config.root

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        train = self._folders[Split.TRAIN]
        domains = [each.name for each in subfolders(train)]
        for each in (each for folder in self._folders.values() for each in subfolders(folder)):
            if each.name not in domains:
                raise DataError(f"{each}: there is no {train / each.name} to train on")
            if each.parent == train and not holds_pictures(each):
                kinds = ", ".join(sorted(IMAGE_SUFFIXES))
                raise DataError(f"{each}: holds no pictures ({kinds}), and every folder is a domain; move it elsewhere")
        if len(domains) < 2:
            raise DataError(f"{self.root}: has one domain, {domains[0]!r}; a translation needs two")
        return (Attribute(self.config.attribute, tuple(domains)),)

    def records(self, split: Split) -> Iterator[Record]:
        (attribute,) = self.attributes
        for own, folder in self._folders.items():
            if own not in (split, Split.TRAIN):
                continue
            for domain in attribute.values:
                for file in find_pictures(folder / domain):
                    key = file.relative_to(self.root).as_posix()
                    if (self._drawn(key) if own is Split.TRAIN else own) is split:
                        yield Record(key, file, {attribute.name: domain})

    def _drawn(self, key: str) -> Split:
        """The split of a picture to train on, where others have no folder."""
        val = 0 if Split.VAL in self._folders else self.config.val
        return Split.drawn(key, val=val, test=0 if Split.TEST in self._folders else self.config.test)

    @cached_property
    def _folders(self) -> Mapping[Split, Path]:
        """The folders that hold those of the domains. Raises `DataError` that names what `root` should be instead."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder")
        below = subfolders(self.root)
        named = {each: split for each in below if (split := Split.called(each.name))}
        splits = {split: each for each, split in named.items() if subfolders(each)}
        if splits:
            if len(splits) < len(named):
                flat = next((each for each in named if not subfolders(each)), None)
                what = f"{flat.name}/ holds no folder per domain" if flat else "two folders are for the same split"
                raise DataError(f"{self.root}: {what} ({', '.join(each.name for each in named)})")
            if Split.TRAIN not in splits:
                raise DataError(f"{self.root}: has {', '.join(each.name for each in splits.values())}/ but no train/")
            return splits
        if Split.called(self.root.name) and any(
            Split.called(each.name) for each in subfolders(self.root.parent) if each != self.root
        ):
            raise DataError(f"{self.root}: is one split of {self.root.parent}, which is the root to give")
        if len(named) == len(below) and (flat := next(filter(holds_pictures, named), None)):
            raise DataError(
                f"{self.root}: {flat.name}/ holds pictures, not a folder per domain; pictures that show two "
                "domains side by side are read by dataset 'aligned'"
            )
        if below and all(re.fullmatch(r"(train|test|val)[A-Z]", each.name) for each in below):
            raise DataError(
                f"{self.root}: has {', '.join(each.name for each in below)}; move them to train/A, train/B, test/A, ..."
            )
        if not below:
            if holds_pictures(self.root):
                raise DataError(
                    f"{self.root}: is one level too low: it holds pictures, not a folder per domain; "
                    f"{self.root.parent} may be the root to give"
                )
            raise DataError(f"{self.root}: holds no folder per domain")
        if not any(holds_pictures(each, deep=False) for each in below):
            for each in below:
                splits_inside = [inner for inner in subfolders(each) if Split.called(inner.name)]
                if splits_inside and not any(map(subfolders, splits_inside)):
                    raise DataError(
                        f"{self.root}: has {each.name}/{splits_inside[0].name}; the splits go above the domains, "
                        f"{splits_inside[0].name}/{each.name}"
                    )
                if splits_inside or len(below) == 1:
                    raise DataError(f"{self.root}: is one level too high: {each} looks like the root to give")
        return {Split.TRAIN: self.root}
