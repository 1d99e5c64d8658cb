"""The dataset `folder`: pictures in a folder per domain."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from mdtranslate import Attribute, Dataset, Note, Record, Split
from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate.utils.image_io import (
    IMAGE_SUFFIXES,
    describe_kinds,
    find_pictures,
    holds_pictures,
    links_back,
    subfolders,
    unread_kinds,
)
from mdtranslate_basics.yes_no import Pairs, swapped_pairs


class Folder(Dataset):
    """Pictures in a folder per domain, with or without folders for the splits above them::

        pets/cat/*.jpg          pets/train/cat/*.jpg
        pets/dog/*.jpg          pets/test/dog/*.jpg

    A folder's name is the value of one exclusive attribute; pictures may lie in folders of their own below it, links
    are followed, and the folders of the splits may also lie in those of the domains (`pets/cat/test/*.jpg`). What has
    no folder of its own, val or test, is drawn from the pictures to train on, each by its name alone: it stays in its
    split when others are added. With `group`, what it finds in the name decides, such as a person's number.
    """

    name = "folder"

    class Config(Dataset.FileConfig):
        root: Path = Field(description="folder that holds a folder per domain, or train/, val/ and test/ with those")
        attribute: str = Field("domain", pattern=r"^\w+$", description="what the attribute is called")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split, where it has no folder")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split, where it has no folder")
        mirrored: Annotated[Pairs, AfterValidator(swapped_pairs)] = Field(
            (), description='pairs of domains that a horizontal flip swaps: [["left", "right"]]'
        )
        group: re.Pattern[str] | None = Field(
            None,
            description=r"regular expression of what names a group in a path below root, such as '(patient\d+)_': all "
            "pictures of a group are in one split",
        )

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
                unread = unread_kinds(each)
                kinds = f"but {describe_kinds(unread)}" if unread else f"({', '.join(sorted(IMAGE_SUFFIXES))})"
                raise DataError(f"{each}: holds no pictures {kinds}, and every folder is a domain; move it elsewhere")
        if len(domains) < 2:
            raise DataError(f"{self.root}: has one domain, {domains[0]!r}; a translation needs two")
        self._check_mirrored(domains)
        return (Attribute(self.config.attribute, tuple(domains), mirrored=self.config.mirrored),)

    def _check_mirrored(self, domains: Collection[str]) -> None:
        for value in (each for pair in self.config.mirrored for each in pair):
            if value not in domains:
                raise RecipeError(f"mirrored: {value!r} is no domain of {self.root}; {nearest(value, domains)}")

    def records(self, split: Split) -> Iterator[Record]:
        (attribute,) = self.attributes
        for own, file, domain in self._listed:
            if own is split:
                yield Record(file.relative_to(self.root).as_posix(), file, {attribute.name: domain})

    def notes(self) -> Iterator[Note]:
        """Folders that are not used, and files of kinds that are not read."""
        folders = [*self._folders.values()]
        unused = [] if self.root in folders else [each.name for each in subfolders(self.root) if each not in folders]
        if unused:
            yield Note(
                "unused-folders",
                f"{self.root}: not used, since they are beside train/: {', '.join(unused)}",
                "move them into train/, if they are meant",
                tuple(str(self.root / each) for each in unused),
            )
        for folder in folders:
            if loose := find_pictures(folder, deep=False):
                what = f"{folder}: {len(loose)} images are in no folder of a domain, such as {loose[0].name}"
                yield Note("unused-files", what, "move them into one, if they are meant", tuple(map(str, loose)))
            if links := links_back(folder):
                what = f"{folder}: links that lead back into it are not followed: {', '.join(map(str, links))}"
                yield Note("links-back", what, "copy what is meant", tuple(map(str, links)))
            if kinds := unread_kinds(folder):
                yield Note(
                    "unread-files",
                    f"{folder}: {describe_kinds(kinds)}",
                    "convert them, if they are meant",
                    (str(folder),),
                )

    @cached_property
    def _listed(self) -> list[tuple[Split, Path, str]]:
        """The split, file and domain of every picture. A domain keeps at least one to train on."""
        (attribute,) = self.attributes
        files = [
            (own, file, domain)
            for own, folder in self._folders.items()
            for domain in attribute.values
            for file in find_pictures(folder / domain)
        ]
        inside = {split for own, file, domain in files if (split := self._split_inside(own, file, domain))}
        there = {*self._folders, *inside}
        listed, left = [], dict[str, int]()
        for own, file, domain in files:
            split = own if own is not Split.TRAIN else self._split_inside(own, file, domain) or self._drawn(file, there)
            listed.append((split, file, domain))
            left[domain] = left.get(domain, 0) + (split is Split.TRAIN)
        for domain in (each for each in attribute.values if not left.get(each)):
            # All were drawn for other splits, as happens to a few: one stays to train on.
            drawn = [n for n, (split, _, own) in enumerate(listed) if own == domain and split not in there]
            if not drawn or self.config.group is not None:
                raise DataError(f"{self._folders[Split.TRAIN] / domain}: holds no picture to train on")
            listed[drawn[0]] = Split.TRAIN, *listed[drawn[0]][1:]
        return listed

    def _split_inside(self, own: Split, file: Path, domain: str) -> Split | None:
        """What a folder below that of a domain says, for images to train on."""
        if own is not Split.TRAIN:
            return None
        below = file.relative_to(self._folders[own] / domain).parts[:-1]
        return next((split for name in below if (split := Split.called(name))), None)

    def _drawn(self, file: Path, there: Collection[Split]) -> Split:
        """The split of a picture to train on, where others have no folder."""
        key = file.relative_to(self.root).as_posix()
        if self.config.group is not None:
            if (match := self.config.group.search(key)) is None:
                raise DataError(f"{file}: group={self.config.group.pattern!r} finds nothing in {key}")
            key = match[1] if match.re.groups else match[0]
        val = 0 if Split.VAL in there else self.config.val
        return Split.drawn(key, val=val, test=0 if Split.TEST in there else self.config.test)

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
                inside = [inner for inner in subfolders(each) if Split.called(inner.name)]
                if any(map(subfolders, inside)) or (len(below) == 1 and not inside):
                    raise DataError(f"{self.root}: is one level too high: {each} looks like the root to give")
        return {Split.TRAIN: self.root}
