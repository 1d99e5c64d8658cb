"""What the checks of a dataset look at."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from mdtranslate.interfaces import Attribute, Dataset, Record, Split
from mdtranslate.registry import registry, use_files
from mdtranslate.testing.checks import DoesNotApply, Suite

Address = tuple[list[str], str, str, str]
"""Files that are plugins, a module, a class there, and settings as JSON."""

SOME = 4
"""Pictures that are loaded, of all that there are."""


class Given:
    """A dataset with its settings, and what it lists."""

    def __init__(self, given: Dataset | Callable[[], Dataset]) -> None:
        self.dataset: Dataset = given if isinstance(given, Dataset) else given()

    @property
    def component(self) -> type[Dataset]:
        return type(self.dataset)

    @property
    def config(self) -> Any:
        return self.dataset.config

    def again(self) -> Dataset:
        """Another one of the same settings."""
        return type(self.dataset)(self.dataset.config)

    @cached_property
    def splits(self) -> Mapping[Split, Sequence[Record]]:
        """The records of each split."""
        return {split: list(self.dataset.records(split)) for split in Split}

    @cached_property
    def records(self) -> Sequence[Record]:
        """Those of all splits."""
        return [record for own in self.splits.values() for record in own]

    @cached_property
    def attributes(self) -> Mapping[str, Attribute]:
        return {each.name: each for each in self.dataset.attributes}

    @cached_property
    def some(self) -> Sequence[Record]:
        """Some records from all over."""
        if not self.records:
            raise DoesNotApply("there are no records")
        count = min(SOME, len(self.records))
        return [self.records[place * len(self.records) // count] for place in range(count)]

    @cached_property
    def files(self) -> Sequence[Path]:
        """The files of those."""
        found = [record.image for record in self.some if record.image is not None]
        if not found:
            raise DoesNotApply("its pictures are no files")
        return found

    @cached_property
    def folders(self) -> Sequence[str]:
        """The settings that are paths of something."""
        dumped = {name: getattr(self.dataset.config, name) for name in type(self.dataset.config).model_fields}
        found = [name for name, value in dumped.items() if isinstance(value, Path)]
        if not found:
            raise DoesNotApply("it has no setting that is a path")
        return found

    @property
    def address(self) -> Address:
        """By what another process makes the same dataset."""
        cls = self.component
        if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
            raise DoesNotApply(f"{cls.__qualname__} is not at the top of a module, so no other process finds it")
        files = [str(file) for file in registry().files]
        return files, cls.__module__, cls.__qualname__, self.config.model_dump_json()

    def elsewhere(self, path: Path) -> Dataset:
        """The same with every path of its settings replaced."""
        config = self.dataset.config
        return type(self.dataset)(config.model_copy(update=dict.fromkeys(self.folders, path)))


def made(address: Address) -> Dataset:
    """The dataset of an address, in whatever process."""
    files, module, name, config = address
    if files:
        use_files(tuple(map(Path, files)))
        registry()  # Imports them.
    cls: Any = reduce(getattr, name.split("."), import_module(module))
    dataset: Dataset = cls(cls.Config.model_validate_json(config))
    return dataset


def keys(address: Address) -> list[list[str]]:
    """The keys of each split."""
    dataset = made(address)
    return [[record.key for record in dataset.records(split)] for split in Split]


@contextmanager
def own_cache() -> Iterator[Path]:
    """A cache of packed pictures that is gone afterwards."""
    before = os.environ.get("XDG_CACHE_HOME")
    folder = Path(tempfile.mkdtemp(prefix="mdtranslate-check-"))
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before
        shutil.rmtree(folder, ignore_errors=True)


def first_difference(one: Sequence[Any], other: Sequence[Any], what: str) -> str | None:
    """Where two lists part, in words."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return f"{what} {place} is {a!r} and then {b!r}"
    return f"{len(one)} and then {len(other)} of them" if len(one) != len(other) else None


DATASET: Suite[Given] = Suite(Given)
