"""The dataset `folder`: one folder of images per domain."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from mdtranslate import (
    IMAGE_SUFFIXES,
    Attribute,
    Dataset,
    Note,
    Record,
    Split,
    count_unread_files,
    describe_unread_files,
    find_images,
    find_looping_links,
    has_images,
    list_subfolders,
)
from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate_basics.cell_values import Pairs, check_pairs
from mdtranslate_basics.split_folders import find_split_folders


class Folder(Dataset):
    """Images in one folder per domain, optionally inside folders of the splits::

        pets/cat/*.jpg          pets/train/cat/*.jpg
        pets/dog/*.jpg          pets/test/dog/*.jpg

    The dataset has one attribute, whose value is the folder's name. Images may be in subfolders, and links are
    followed. Folders of splits are named train, val and test; they may also be inside those of the domains
    (`pets/cat/test/*.jpg`). A split without a folder is drawn from the training images, by the hash of an image's path:
    adding images moves none to another split. With `group`, the text that it matches in the path is hashed instead,
    such as a person's number.
    """

    name = "folder"

    class Config(Dataset.FileConfig):
        """Folder, attribute and splits."""

        root: Path = Field(description="folder that holds one folder per domain, or train/, val/ and test/ that do")
        attribute: str = Field("domain", pattern=r"^\w+$", description="name of the attribute")
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split if it has no folder")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split if it has no folder")
        mirrored: Annotated[Pairs, AfterValidator(check_pairs)] = Field(
            (), description='pairs of domains that a horizontal flip swaps: [["left", "right"]]'
        )
        group: re.Pattern[str] | None = Field(
            None,
            description=r"regular expression of the name of a group in paths below root, such as '(patient\d+)_': all "
            "images of a group are in the same split",
        )

    def __init__(self, config: Any) -> None:
        """Initialises the dataset without reading any file."""
        super().__init__(config)
        self.root: Path = config.root

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        """The attribute, with the names of the training folders as values.

        Raises:
            DataError: A folder has no images, or there is only one.
            RecipeError: `mirrored` names a domain that does not exist.
        """
        train = self._split_folders[Split.TRAIN]
        domains = [folder.name for folder in list_subfolders(train)]
        for domain_folder in (sub for folder in self._split_folders.values() for sub in list_subfolders(folder)):
            if domain_folder.name not in domains:
                raise DataError(f"{domain_folder}: there are no training images in {train / domain_folder.name}")
            if domain_folder.parent == train and not has_images(domain_folder):
                unread = count_unread_files(domain_folder)
                reason = (
                    f", but {describe_unread_files(unread)}" if unread else f" ({', '.join(sorted(IMAGE_SUFFIXES))})"
                )
                raise DataError(
                    f"{domain_folder}: holds no images{reason}; every folder is a domain: move it elsewhere"
                )
        if len(domains) < 2:
            raise DataError(f"{self.root}: has one domain, {domains[0]!r}; a translation needs two")
        self._check_mirrored(domains)
        return (Attribute(self.config.attribute, tuple(domains), mirrored=self.config.mirrored),)

    def records(self, split: Split) -> Iterator[Record]:
        """Lists the records of a split, domain by domain; see `Dataset.records`."""
        (attribute,) = self.attributes
        for file_split, file, domain in self._files:
            if file_split is split:
                yield Record(file.relative_to(self.root).as_posix(), file, {attribute.name: domain})

    def notes(self) -> Iterator[Note]:
        """Reports folders and images that are not used, links that are not followed, and files that are not read."""
        folders = [*self._split_folders.values()]
        unused = [] if self.root in folders else [sub.name for sub in list_subfolders(self.root) if sub not in folders]
        if unused:
            yield Note(
                "unused-folders",
                f"{self.root}: folders beside train/ are not used: {', '.join(unused)}",
                "move them into train/ if they are domains",
                tuple(str(self.root / name) for name in unused),
            )
        for folder in folders:
            if loose := find_images(folder, recursive=False):
                message = f"{folder}: {len(loose)} images are not in the folder of a domain, such as {loose[0].name}"
                yield Note("unused-files", message, "move them into one if they should be used", tuple(map(str, loose)))
            if links := find_looping_links(folder):
                paths = tuple(map(str, links))
                message = f"{folder}: links that lead back into it are not followed: {', '.join(paths)}"
                yield Note("links-back", message, "replace them by copies if they should be used", paths)
            if unread := count_unread_files(folder):
                message = f"{folder}: {describe_unread_files(unread)}"
                yield Note("unread-files", message, "convert them if they should be used", (str(folder),))

    def _check_mirrored(self, domains: Collection[str]) -> None:
        for value in (value for pair in self.config.mirrored for value in pair):
            if value not in domains:
                raise RecipeError(f"mirrored: {value!r} is not a domain of {self.root}; {nearest(value, domains)}")

    @cached_property
    def _split_folders(self) -> Mapping[Split, Path]:
        """The folder that holds those of the domains, by split."""
        return find_split_folders(self.root)

    @cached_property
    def _files(self) -> list[tuple[Split, Path, str]]:
        """The split, file and domain of every image; each domain has at least one training image."""
        (attribute,) = self.attributes
        files = [
            (folder_split, file, domain)
            for folder_split, folder in self._split_folders.items()
            for domain in attribute.values
            for file in find_images(folder / domain)
        ]
        nested_splits = {split for parent, file, domain in files if (split := self._nested_split(parent, file, domain))}
        existing = {*self._split_folders, *nested_splits}
        result, train_counts = [], dict[str, int]()
        for folder_split, file, domain in files:
            split = folder_split
            if folder_split is Split.TRAIN:
                split = self._nested_split(folder_split, file, domain) or self._draw_split(file, existing)
            result.append((split, file, domain))
            train_counts[domain] = train_counts.get(domain, 0) + (split is Split.TRAIN)
        for domain in (value for value in attribute.values if not train_counts.get(value)):
            # All images of a small domain were drawn for other splits: keep one for training.
            drawn = [i for i, (split, _, name) in enumerate(result) if name == domain and split not in existing]
            if not drawn or self.config.group is not None:
                raise DataError(f"{self._split_folders[Split.TRAIN] / domain}: holds no training images")
            result[drawn[0]] = Split.TRAIN, *result[drawn[0]][1:]
        return result

    def _nested_split(self, folder_split: Split, file: Path, domain: str) -> Split | None:
        """Returns the split that a subfolder of a training domain is named for, if any."""
        if folder_split is not Split.TRAIN:
            return None
        subfolders = file.relative_to(self._split_folders[folder_split] / domain).parts[:-1]
        return next((split for name in subfolders if (split := Split.from_name(name))), None)

    def _draw_split(self, file: Path, existing: Collection[Split]) -> Split:
        """Returns the split of a training image, some of which are used for splits that do not exist."""
        key = file.relative_to(self.root).as_posix()
        if self.config.group is not None:
            if (match := self.config.group.search(key)) is None:
                raise DataError(f"{file}: group={self.config.group.pattern!r} does not match {key}")
            key = match[1] if match.re.groups else match[0]
        val = 0 if Split.VAL in existing else self.config.val
        return Split.from_hash(key, val=val, test=0 if Split.TEST in existing else self.config.test)
