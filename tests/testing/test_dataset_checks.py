"""Each check of datasets fails for a dataset that breaks it, and all checks pass for good datasets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import bad_datasets
import bad_images
import numpy as np
import pytest
from bad_datasets import Good
from bad_images import Counterfactuals
from PIL import Image

from mdtranslate.config.registry import registry, set_plugin_files
from mdtranslate.testing import suite
from mdtranslate.testing.datasets import dataset_side_effects
from mdtranslate.testing.shapes_dataset import Shapes

DATASET = suite("dataset")
BAD = {**bad_datasets.BAD, **bad_images.BAD}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two images of each species in each split."""
    rng = np.random.default_rng(0)
    for index, folder in enumerate(f"{split}/{kind}" for split in ("train", "val", "test") for kind in ("cat", "dog")):
        (tmp_path / "pets" / folder).mkdir(parents=True)
        for offset in range(2):
            pixels = rng.integers(0, 256, (12, 10, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / folder / f"{2 * index + offset}.png")
    return tmp_path / "pets"


def test_every_check_has_a_dataset_that_breaks_it() -> None:
    assert {*BAD, "caching_is_equal_with_any_workers"} == DATASET.checks.keys()
    assert len(BAD) >= 40


@pytest.mark.parametrize("cls", [Good, Counterfactuals, Shapes])
def test_good_datasets_pass(cls, root: Path) -> None:
    dataset = cls(cls.Config.model_validate({"root": root} if issubclass(cls, Good) else {}))
    results = list(DATASET.results(dataset))
    assert [result.format() for result in results if result.state == "failed"] == []
    if cls is Counterfactuals:
        not_applicable = [result.name for result in results if result.state == "not applicable"]
        assert not_applicable == ["caching_is_equal_with_any_workers"]


WORKERS = """
import multiprocessing
from bad_datasets import Good
from mdtranslate import hookimpl

class Workers(Good):
    "Inverts images in worker processes."
    name = "workers"

    def load(self, record):
        return 255 - super().load(record) if multiprocessing.parent_process() else super().load(record)

@hookimpl
def register_datasets():
    return [Workers]
"""


def test_different_images_from_workers_are_reported(root: Path, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    check = DATASET.checks["caching_is_equal_with_any_workers"]
    set_plugin_files((tmp_path / "workers.py",))
    try:
        workers = registry().component("dataset", "workers")
        result = check.run(DATASET.make_case(workers(workers.Config(root=root))))
    finally:
        set_plugin_files(())
    assert result.state == "failed" and result.actual.startswith("with 1 ")
    assert check.run(DATASET.make_case(Good(Good.Config(root=root)))).state == "not applicable"


def test_a_process_that_hangs_is_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_side_effects, "TIMEOUT_S", 2)
    case = DATASET.make_case(bad_images.HangsInForks(Good.Config(root=root)))
    result = DATASET.checks["loads_in_forked_process"].run(case)
    assert result.state == "failed" and "4 images within 2 seconds" in result.actual


SLOW_CHECKS = ["listing_is_equal_in_new_process", "loads_in_spawned_processes", "loads_in_forked_process"]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        *((name, BAD[name]) for name in ("loading_does_not_modify_records", "preserves_process_state")),
        ("listing_preserves_random_state", bad_datasets.Seeding),
        ("listing_is_fast", bad_datasets.SlowConstructor),
        ("listing_uses_little_memory", bad_datasets.SlowConstructor),
    ],
)
def test_earlier_checks_hide_no_failure(name: str, cls: type[Good], root: Path) -> None:
    dataset = cls(cls.Config(root=root))
    results = {result.name: result for result in DATASET.results(dataset, skip=SLOW_CHECKS)}
    assert results[name].state == "failed"


@pytest.mark.parametrize("name", [name for name, check in DATASET.checks.items() if check.is_prerequisite])
def test_one_mistake_is_one_failure(name: str, root: Path) -> None:
    results = list(DATASET.results(BAD[name](BAD[name].Config(root=root))))
    failed = [result.name for result in results if result.state == "failed"]
    assert len(failed) == 1 and DATASET.checks[failed[0]].is_prerequisite
    assert {result.actual for result in results if result.state == "not run"} == {f"{failed[0]} failed"}


def test_a_module_cache_does_not_hide_that_images_are_read(root: Path) -> None:
    case = DATASET.make_case(bad_datasets.ReadsOnce(Good.Config(root=root)))
    assert case.splits
    assert ".png" in DATASET.checks["listing_opens_no_images"].run(case).actual


def test_settings_may_refuse_a_path(root: Path) -> None:
    case = DATASET.make_case(bad_datasets.ValidatedPath(bad_datasets.ValidatedPath.Config(root=root)))
    assert DATASET.checks["missing_folder_is_reported"].run(case).state == "passed"


def test_a_relative_folder_may_be_part_of_keys(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    case = DATASET.make_case(bad_datasets.PrefixedKeys(Good.Config(root=Path("pets"))))
    assert DATASET.checks["keys_contain_no_folder"].run(case).state == "passed"


@pytest.mark.parametrize("name", BAD)
def test_checks_fail_for_components_that_break_them(name: str, root: Path) -> None:
    cls = BAD[name]
    if name == "config_derives_from_settings":
        config = SimpleNamespace(root=root, attributes=None)
    elif "limit" in cls.Config.model_fields:
        config = cls.Config(root=root, limit=None)
    else:
        config = cls.Config(root=root)
    result = DATASET.checks[name].run(DATASET.make_case(cls(config)))
    assert result.state == "failed", result.format()
    assert result.actual and "\n" not in result.actual
    assert result.expected in result.format() and result.why in result.format()
