"""Each check of datasets fails on one that was made to break it, and all pass on one that was not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import bad_datasets
import bad_pictures
import numpy as np
import pytest
from bad_datasets import Good
from bad_pictures import Truths
from PIL import Image

from mdtranslate.config.registry import registry, use_files
from mdtranslate.testing import suite
from mdtranslate.testing.datasets import dataset_side_effects as manners
from mdtranslate.testing.shapes_dataset import Shapes

DATASET = suite("dataset")
BAD = {**bad_datasets.BAD, **bad_pictures.BAD}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures of each species in each split."""
    draw = np.random.default_rng(0)
    for number, place in enumerate(f"{split}/{kind}" for split in ("train", "val", "test") for kind in ("cat", "dog")):
        (tmp_path / "pets" / place).mkdir(parents=True)
        for each in range(2):
            pixels = draw.integers(0, 256, (12, 10, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / place / f"{2 * number + each}.png")
    return tmp_path / "pets"


def test_there_is_one_for_each_check_and_they_are_many() -> None:
    assert {*BAD, "packs_the_same_with_any_workers"} == DATASET.checks.keys()
    assert len(BAD) >= 40


@pytest.mark.parametrize("cls", [Good, Truths, Shapes])
def test_what_keeps_the_contract_passes(cls, root: Path) -> None:
    given = cls(cls.Config.model_validate({"root": root} if issubclass(cls, Good) else {}))
    found = {each.name: each for each in DATASET.results(given)}
    assert [each.text() for each in found.values() if each.state == "failed"] == []
    if cls is Truths:
        assert [name for name, each in found.items() if each.state == "left out"] == ["packs_the_same_with_any_workers"]


WORKERS = """
import multiprocessing
from bad_datasets import Good
from mdtranslate import hookimpl

class Workers(Good):
    "Pictures are others in a process that was started by one."
    name = "workers"

    def load(self, record):
        return 255 - super().load(record) if multiprocessing.parent_process() else super().load(record)

@hookimpl
def register_datasets():
    return [Workers]
"""


def test_workers_that_load_others_are_found(root: Path, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    check = DATASET.checks["packs_the_same_with_any_workers"]
    use_files((tmp_path / "workers.py",))
    try:
        workers = registry().component("dataset", "workers")
        result = check.on(DATASET.prepare(workers(workers.Config(root=root))))
    finally:
        use_files(())
    assert result.state == "failed" and result.came == "with 1 it holds other pictures than with none"
    assert check.on(DATASET.prepare(Good(Good.Config(root=root)))).state == "left out"


def test_a_process_that_never_ends_is_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manners, "SECONDS", 2)
    given = DATASET.prepare(bad_pictures.StuckInOthers(Good.Config(root=root)))
    result = DATASET.checks["loads_in_a_forked_process"].on(given)
    assert "had not loaded 4 pictures after 2 seconds" in result.came


IN_PROCESSES = ["lists_the_same_in_another_process", "loads_in_spawned_processes", "loads_in_a_forked_process"]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        *((name, BAD[name]) for name in ("loading_changes_no_record", "leaves_the_process_as_it_is")),
        ("listing_touches_no_random_state", bad_datasets.Seeding),
        ("listing_is_cheap", bad_datasets.ReadsWhenMade),
        ("listing_is_small", bad_datasets.ReadsWhenMade),
    ],
)
def test_checks_before_it_do_not_hide_it(name: str, cls: type[Good], root: Path) -> None:
    found = {each.name: each for each in DATASET.results(cls(cls.Config(root=root)), skip=IN_PROCESSES)}
    assert found[name].state == "failed"


@pytest.mark.parametrize("name", [name for name, check in DATASET.checks.items() if check.premise])
def test_one_mistake_is_one_failure(name: str, root: Path) -> None:
    results = list(DATASET.results(BAD[name](BAD[name].Config(root=root))))
    failed = [each.name for each in results if each.state == "failed"]
    assert len(failed) == 1 and DATASET.checks[failed[0]].premise
    assert {each.came for each in results if each.state == "not reached"} == {f"{failed[0]} comes first"}


def test_what_a_module_keeps_does_not_hide_that_pictures_are_read(root: Path) -> None:
    given = DATASET.prepare(bad_datasets.ReadsOnce(Good.Config(root=root)))
    assert given.splits
    assert "opened, the first" in DATASET.checks["listing_reads_no_picture"].on(given).came


def test_settings_that_refuse_a_path_themselves_are_right(root: Path) -> None:
    given = DATASET.prepare(bad_datasets.Particular(bad_datasets.Particular.Config(root=root)))
    assert DATASET.checks["a_missing_folder_is_one_line"].on(given).state == "passed"


def test_a_relative_folder_may_be_a_word_of_keys(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    given = DATASET.prepare(bad_datasets.Named(Good.Config(root=Path("pets"))))
    assert DATASET.checks["keys_name_no_place"].on(given).state == "passed"


@pytest.mark.parametrize("name", BAD)
def test_each_check_fails_on_what_breaks_it(name: str, root: Path) -> None:
    cls = BAD[name]
    if name == "config_is_a_model_of_settings":
        config = SimpleNamespace(root=root, attributes=None)
    elif "limit" in cls.Config.model_fields:
        config = cls.Config(root=root, limit=None)
    else:
        config = cls.Config(root=root)
    result = DATASET.checks[name].on(DATASET.prepare(cls(config)))
    assert result.state == "failed", result.text()
    assert result.came and "\n" not in result.came
    assert result.expected in result.text() and result.why in result.text()
