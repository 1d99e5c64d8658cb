"""Finds the folders of the splits of a dataset, and says which root is meant if the given one is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mdtranslate import Split, has_images, list_subfolders
from mdtranslate.errors import DataError


def find_split_folders(root: Path) -> Mapping[Split, Path]:
    """Finds the folders that hold one folder per domain.

    Args:
        root: The root of the dataset.

    Returns:
        The folders of train, val and test, as far as they exist; or `root` alone for train if there are none.

    Raises:
        DataError: The folders are not as expected; the message says which root is meant, where it can.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder")
    subfolders = list_subfolders(root)
    split_of = {folder: split for folder in subfolders if (split := Split.from_name(folder.name))}
    split_folders = {split: folder for folder, split in split_of.items() if list_subfolders(folder)}
    if split_folders:
        if len(split_folders) < len(split_of):
            flat = next((folder for folder in split_of if not list_subfolders(folder)), None)
            problem = f"{flat.name}/ holds no folder per domain" if flat else "two folders are for the same split"
            raise DataError(f"{root}: {problem} ({', '.join(folder.name for folder in split_of)})")
        if Split.TRAIN not in split_folders:
            names = ", ".join(folder.name for folder in split_folders.values())
            raise DataError(f"{root}: has {names}/ but no train/")
        return split_folders
    _check_root_without_splits(root, subfolders, split_of)
    return {Split.TRAIN: root}


def _check_root_without_splits(root: Path, subfolders: list[Path], split_of: Mapping[Path, Split]) -> None:
    """Raises `DataError` if `root` does not look like a folder with one folder per domain."""
    if Split.from_name(root.name) and any(
        Split.from_name(sibling.name) for sibling in list_subfolders(root.parent) if sibling != root
    ):
        raise DataError(f"{root}: is one split of a dataset; use {root.parent} as root")
    if len(split_of) == len(subfolders) and (flat := next(filter(has_images, split_of), None)):
        raise DataError(
            f"{root}: {flat.name}/ holds images, not one folder per domain; dataset 'aligned' reads images that show "
            "two domains side by side"
        )
    if subfolders and all(re.fullmatch(r"(train|test|val)[A-Z]", folder.name) for folder in subfolders):
        names = ", ".join(folder.name for folder in subfolders)
        raise DataError(f"{root}: has {names}; move them to train/A, train/B, test/A, ...")
    if not subfolders:
        if has_images(root):
            raise DataError(
                f"{root}: holds images, not one folder per domain, so it is one level too low; {root.parent} may be "
                "the right root"
            )
        raise DataError(f"{root}: holds no folder per domain")
    if any(has_images(folder, recursive=False) for folder in subfolders):
        return
    for folder in subfolders:
        nested = [inner for inner in list_subfolders(folder) if Split.from_name(inner.name)]
        if any(map(list_subfolders, nested)) or (len(subfolders) == 1 and not nested):
            raise DataError(f"{root}: is one level too high; {folder} may be the right root")
