"""What the checks of a dataset look at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from mdtranslate.api import Attribute, Dataset, Record, Split
from mdtranslate.config.registry import registry, use_files
from mdtranslate.testing.checks import DoesNotApply, Suite
from mdtranslate.testing.side_effects import watched

Address = tuple[list[str], str, str, str]
"""Files that are plugins, a module, a class there, and settings as JSON."""

SOME = 4
"""Pictures that are loaded, of all that there are."""
SECONDS = 300
"""That a process of its own may take."""


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

    @property
    def some(self) -> Sequence[Record]:
        """Some records from all over, as they were listed: what is done to them stays with whoever asked."""
        if not self.records:
            raise DoesNotApply("there are no records")
        count = min(SOME, len(self.records))
        return deepcopy([self.records[place * len(self.records) // count] for place in range(count)])

    @property
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
        """The same with every path of its settings replaced. Raises `ValidationError` where they refuse that."""
        config = self.dataset.config
        replaced = {**config.model_dump(), **dict.fromkeys(self.folders, path)}
        return type(self.dataset)(type(config).model_validate(replaced))

    @cached_property
    def listed_anew(self) -> Sequence[Listed]:
        """What two new Python processes list, which order sets in two ways."""
        code = (
            "import json, sys; asked = json.loads(sys.stdin.read()); sys.path[:] = asked['path']; "
            "from mdtranslate.testing.datasets.dataset_case import listed; print(json.dumps(listed(asked['address'])))"
        )
        asked, found = json.dumps({"address": self.address, "path": sys.path}), []
        for seed in ("1", "2"):
            done = subprocess.run(
                [sys.executable, "-c", code],
                input=asked,
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            if done.returncode:
                raise RuntimeError(f"a new process: {done.stderr.strip().splitlines()[-1]}")
            found.append(Listed(**json.loads(done.stdout.splitlines()[-1])))
        return found


def made(address: Address) -> Dataset:
    """The dataset of an address, in whatever process."""
    files, module, name, config = address
    if files:
        use_files(tuple(map(Path, files)))
        registry()  # Imports them.
    cls: Any = reduce(getattr, name.split("."), import_module(module))
    dataset: Dataset = cls(cls.Config.model_validate_json(config))
    return dataset


@dataclass
class Listed:
    """What a process of its own listed: the keys of each split, and the files that were opened for it."""

    keys: list[list[str]]
    read: list[str]


def listed(address: Address) -> dict[str, Any]:
    """In a process of its own."""
    with watched() as seen:
        dataset = made(address)
        _ = dataset.attributes
        keys = [[record.key for record in dataset.records(split)] for split in Split]
    return asdict(Listed(keys, [str(path) for path in seen.read]))


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
