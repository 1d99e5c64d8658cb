"""What the checks of a dataset test: the dataset, its records, and the same dataset in other processes."""

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
from mdtranslate.config.registry import registry, set_plugin_files
from mdtranslate.testing.checks import NotApplicable, Suite
from mdtranslate.testing.side_effects import recorded_side_effects

DatasetSpec = tuple[list[str], str, str, str]
"""How another process builds a dataset: plugin files, module, class name, and settings as JSON."""

MAX_SAMPLES = 4
"""Number of records whose images are loaded."""
TIMEOUT_S = 300
"""Time limit of a subprocess in seconds."""


class DatasetCase:
    """A dataset and its records.

    Attributes:
        dataset: The dataset.
    """

    def __init__(self, component: Dataset | Callable[[], Dataset]) -> None:
        """Initialises the case with a dataset, or a function that builds it."""
        self.dataset: Dataset = component if isinstance(component, Dataset) else component()

    @property
    def component(self) -> type[Dataset]:
        """The class of the dataset."""
        return type(self.dataset)

    @property
    def config(self) -> Any:
        """The settings of the dataset."""
        return self.dataset.config

    def new_instance(self) -> Dataset:
        """Builds another dataset with the same settings."""
        return type(self.dataset)(self.dataset.config)

    @cached_property
    def splits(self) -> Mapping[Split, Sequence[Record]]:
        """The records of each split."""
        return {split: list(self.dataset.records(split)) for split in Split}

    @cached_property
    def records(self) -> Sequence[Record]:
        """The records of all splits."""
        return [record for records in self.splits.values() for record in records]

    @cached_property
    def attributes(self) -> Mapping[str, Attribute]:
        """The attributes by name."""
        return {attribute.name: attribute for attribute in self.dataset.attributes}

    @property
    def samples(self) -> Sequence[Record]:
        """Copies of up to four records, spread evenly over all splits."""
        if not self.records:
            raise NotApplicable("there are no records")
        count = min(MAX_SAMPLES, len(self.records))
        return deepcopy([self.records[index * len(self.records) // count] for index in range(count)])

    @property
    def sample_files(self) -> Sequence[Path]:
        """The image files of `samples`."""
        files = [record.image for record in self.samples if record.image is not None]
        if not files:
            raise NotApplicable("its images are not files")
        return files

    @cached_property
    def path_settings(self) -> Sequence[str]:
        """Names of the settings that are paths."""
        values = {name: getattr(self.dataset.config, name) for name in type(self.dataset.config).model_fields}
        names = [name for name, value in values.items() if isinstance(value, Path)]
        if not names:
            raise NotApplicable("none of its settings is a path")
        return names

    @property
    def spec(self) -> DatasetSpec:
        """How another process builds the same dataset."""
        cls = self.component
        if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
            raise NotApplicable(f"{cls.__qualname__} is not defined at module level, where other processes find it")
        files = [str(file) for file in registry().files]
        return files, cls.__module__, cls.__qualname__, self.config.model_dump_json()

    def at_path(self, path: Path) -> Dataset:
        """Builds the dataset with every path among its settings replaced.

        Raises:
            pydantic.ValidationError: The settings refuse the path.
        """
        config = self.dataset.config
        changed = {**config.model_dump(), **dict.fromkeys(self.path_settings, path)}
        return type(self.dataset)(type(config).model_validate(changed))

    @cached_property
    def subprocess_listings(self) -> Sequence[Listing]:
        """What two new Python processes list, in which sets have different orders."""
        code = (
            "import json, sys; task = json.loads(sys.stdin.read()); sys.path[:] = task['path']; "
            "from mdtranslate.testing.datasets.dataset_case import list_records; "
            "print(json.dumps(list_records(task['spec'])))"
        )
        task, listings = json.dumps({"spec": self.spec, "path": sys.path}), []
        for seed in ("1", "2"):
            process = subprocess.run(
                [sys.executable, "-c", code],
                input=task,
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            if process.returncode:
                raise RuntimeError(f"a new process failed: {process.stderr.strip().splitlines()[-1]}")
            listings.append(Listing(**json.loads(process.stdout.splitlines()[-1])))
        return listings


def build_dataset(spec: DatasetSpec) -> Dataset:
    """Builds the dataset that `DatasetCase.spec` describes, in any process."""
    files, module, name, config = spec
    if files:
        set_plugin_files(tuple(map(Path, files)))
        registry()  # Imports the files.
    cls: Any = reduce(getattr, name.split("."), import_module(module))
    dataset: Dataset = cls(cls.Config.model_validate_json(config))
    return dataset


@dataclass
class Listing:
    """What a process listed.

    Attributes:
        keys: The keys of each split.
        read: The files that were opened for it.
    """

    keys: list[list[str]]
    read: list[str]


def list_records(spec: DatasetSpec) -> dict[str, Any]:
    """Returns the `Listing` of a dataset as a dictionary; it runs in a subprocess."""
    with recorded_side_effects() as effects:
        dataset = build_dataset(spec)
        _ = dataset.attributes
        keys = [[record.key for record in dataset.records(split)] for split in Split]
    return asdict(Listing(keys, [str(path) for path in effects.read]))


@contextmanager
def temporary_cache() -> Iterator[Path]:
    """Redirects the cache to a temporary folder."""
    previous = os.environ.get("XDG_CACHE_HOME")
    folder = Path(tempfile.mkdtemp(prefix="mdtranslate-check-"))
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield folder
    finally:
        if previous is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = previous
        shutil.rmtree(folder, ignore_errors=True)


def first_difference(first: Sequence[Any], second: Sequence[Any], noun: str) -> str | None:
    """Describes where two sequences first differ; None if they are equal."""
    for index, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return f"{noun} {index} is {a!r} the first time and {b!r} the second time"
    return None if len(first) == len(second) else f"{len(first)} the first time and {len(second)} the second time"


DATASET: Suite[DatasetCase] = Suite(DatasetCase)
