"""What authors get: cases for pytest, fixtures, and `mdtranslate plugins check`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mdtranslate import Attribute, Dataset, Loss, Record, Split
from mdtranslate.config.registry import registry
from mdtranslate.errors import RecipeError
from mdtranslate.testing import BrokenContract, dataset_checks, loss_checks, suite

pytest_plugins = "pytester"


class Sharpness(Loss):
    """Translations are as sharp as their pictures."""

    name = "sharpness"

    def generator(self, t):
        return (t.fake.diff(dim=3).abs().mean((1, 2, 3)) - t.real.diff(dim=3).abs().mean((1, 2, 3))).abs()


class Blur(Sharpness):
    """It forgets that a term is a value a picture."""

    name = "blur"

    def generator(self, t):
        return super().generator(t).mean()


@loss_checks(Sharpness)
def test_cases_are_functions_that_are_called(check) -> None:
    check()


def test_a_failed_case_says_what_was_expected_what_came_and_why() -> None:
    mark = loss_checks(Blur)
    cases = {each.id: each.values[0] for each in mark.args[1]}
    with pytest.raises(BrokenContract) as failure:
        cases["terms_are_one_a_picture"]()
    text = str(failure.value)
    assert "\n  expected  Each term is a tensor [B]" in text and "\n  came      [] for 4 pictures" in text
    assert "\n  why       The engine averages" in text


def test_some_can_be_skipped_and_only_those_that_there_are() -> None:
    mark = loss_checks(Blur, skip=["terms_are_one_a_picture"])
    assert "terms_are_one_a_picture" not in {each.id for each in mark.args[1]}
    with pytest.raises(ValueError, match=r"no check is called 'terms'; there is has_a_name"):
        loss_checks(Blur, skip=["terms"])


def test_nothing_is_made_before_the_first_case_runs() -> None:
    def never() -> Dataset:
        raise AssertionError("made too early")

    assert len(dataset_checks(never).args[1]) == len(suite("dataset").checks)


def test_the_dataset_of_the_fixture_trains(tiny_dataset: Dataset, register, tiny_run) -> None:
    assert len(list(tiny_dataset.records(Split.TRAIN))) == 8
    register(type(tiny_dataset))
    run = tiny_run("datasets={shapes={}}")
    assert (run / "translator").is_dir() and json.loads((run / "status.json").read_text())["state"] == "done"


def test_a_loss_of_a_test_trains_and_is_gone_afterwards(register, tiny_run) -> None:
    register(Sharpness)
    run = tiny_run("losses.sharpness.weight=0.5")
    assert "generator/sharpness" in (run / "log.jsonl").read_text()


def test_what_was_registered_is_gone() -> None:
    assert "sharpness" not in registry().names("loss")


def test_what_cannot_be_registered_fails_in_the_registrys_words(register) -> None:
    class Twin(Sharpness):
        """It takes a name that is taken."""

        name = "wgan-gp"

    with pytest.raises(pytest.fail.Exception, match=r"loss 'wgan-gp' is taken by plugin stargan"):
        register(Twin)


@pytest.mark.usefixtures("no_network")
def test_without_network_whoever_asks_fails() -> None:
    with pytest.raises(OSError, match=r"allows no network, and '127.0.0.1' was asked for"):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(OSError, match=r"allows no network, and \('127.0.0.1', 9\) was"), socket.socket() as one:
        one.connect(("127.0.0.1", 9))
    with pytest.raises(OSError, match="allows no network"):
        socket.gethostbyname_ex("127.0.0.1")
    one, other = socket.socketpair()  # Files of this machine, by which processes speak.
    one.close()
    other.close()


def test_pytest_finds_the_fixtures_without_torch(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_that_it_is_there(tiny_dataset, register, no_network):
            assert tiny_dataset.name == "shapes"

        def test_that_it_is_cheap():
            assert "torch" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=2)


PETS = """
from pathlib import Path
from pydantic import Field
from mdtranslate import Attribute, Dataset, Record, hookimpl

class Pets(Dataset):
    "Cats and dogs."
    name = "pets"

    class Config(Dataset.Config):
        root: Path = Field(description="the folder")

    attributes = (Attribute("species", ("cat", "dog")),)

    def records(self, split):
        for file in sorted((self.config.root / split).glob("*/*.jpg")):
            yield Record(KEY, file, {"species": file.parent.name})

@hookimpl
def register_datasets():
    return [Pets]
"""


@pytest.fixture
def pets(site: Path, tmp_path: Path) -> Path:
    """A plugin's file, and pictures for it in the folder where commands are typed."""
    draw = np.random.default_rng(0)
    for place in (f"{split}/{kind}" for split in ("train", "test") for kind in ("cat", "dog")):
        folder = tmp_path / "cwd" / "pets" / place
        folder.mkdir(parents=True)
        Image.fromarray(draw.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / f"{place.replace('/', '-')}.jpg")
    file = tmp_path / "cwd" / "pets.py"
    file.write_text(PETS.replace("KEY", 'f"{split}/{file.name}"'))
    return file


def test_the_command_says_what_is_wrong_and_names_the_plugin(command, pets: Path) -> None:
    done = command("--plugin", "pets.py", "plugins", "check", "pets", "root=pets")
    assert done.returncode == 1
    # The README's smallest dataset has one fault: it says nothing of a folder that is not there.
    assert done.stdout.startswith(
        f"dataset pets  of plugin pets ({pets})\n  a_missing_folder_is_one_line\n    expected  "
    )
    assert " passed\n" in done.stdout and done.stderr == "error: 1 check failed\n"


def test_the_command_writes_json(command, pets: Path) -> None:
    pets.write_text(PETS.replace("KEY", '"same"'))
    done = command("--plugin", "pets.py", "plugins", "check", "pets", "root=pets", "--json")
    (report,) = json.loads(done.stdout)
    states = {each["name"]: each["state"] for each in report["checks"]}
    assert states["keys_are_unique"] == states["splits_share_no_key"] == "failed"
    assert states["loads_pictures"] == "passed" and done.returncode == 1


def test_mistakes_of_the_command(command) -> None:
    for words, code, said in (
        (("check",), 2, "plugins check: name a component or a plugin"),
        (("check", "avatras"), 2, "no component and no plugin is called 'avatras': did you mean 'avatars'?"),
        (("check", "wgan-gp", "gradient_penalt=1"), 2, "loss 'wgan-gp': gradient_penalt: no such key"),
        (("check", "basics", "a=1"), 2, "'basics' is a plugin, and settings are of a component"),
        (("check", "stargan", "a=1"), 2, "importer 'stargan': a: no such key"),
        (
            ("check", "qqqq"),
            2,
            "no component and no plugin is called 'qqqq': `mdtranslate plugins` lists what is installed",
        ),
        (("check", "folder"), 2, "dataset 'folder' needs root: mdtranslate plugins check folder root=..."),
        (("check", "per-pair", "of=resnet-generator", "of.blocks=-1"), 2, "generator 'per-pair': of.blocks: "),
        (("loss", "wgan-gp", "a=1"), 2, "'a=1' is one word too many"),
    ):
        done = command("plugins", *words)
        assert done.returncode == code and done.stderr.startswith(f"error: {said}"), done.stderr


NOISY = """
from mdtranslate import Loss, hookimpl

class Noisy(Loss):
    "It prints what it does, and cannot be made for small pictures."
    name = "noisy"

    def __init__(self, config, *, encoder, image_size):
        print("made")
        if image_size < 32:
            raise ValueError("image_size is too small")
        super().__init__(config, encoder=encoder, image_size=image_size)

    def generator(self, t):
        return (t.fake - t.real).abs().mean((1, 2, 3))

class Quiet(Loss):
    "Like the picture."
    name = "quiet"

    def generator(self, t):
        return (t.fake - t.real).abs().mean((1, 2, 3))

@hookimpl
def register_losses():
    return [Noisy, Quiet]
"""


def test_one_that_cannot_be_made_ends_no_report_and_prints_into_none(command, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "noisy_plugin.py").write_text(NOISY)
    done = command("--plugin", "noisy_plugin.py", "plugins", "check", "noisy_plugin", "--json")
    noisy, quiet = json.loads(done.stdout)
    assert noisy["cannot be made"].endswith("refuses its settings: image_size is too small")
    assert {each["state"] for each in quiet["checks"]} == {"passed", "left out"}
    assert done.returncode == 1 and done.stderr.endswith("error: 1 check failed\n")


def test_the_command_says_what_it_did_not_look_at(command, pets: Path, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "noisy_plugin.py").write_text(NOISY.replace(".mean((1, 2, 3))", ".mean()"))
    done = command("--plugin", "noisy_plugin.py", "plugins", "check", "quiet")
    assert done.returncode == 1 and "\n  terms_are_one_a_picture\n" in done.stdout
    assert " not reached, terms_are_one_a_picture comes first\n" in done.stdout
    assert done.stderr == "error: 1 check failed\n"
    done = command("plugins", "check", "avatars")
    assert " left out, its pictures are no files: listing_reads_no_picture, " in done.stdout and done.returncode == 0
    pets.write_text("mdtranslate_api = 0\n")
    done = command("--plugin", "pets.py", "plugins", "check", "pets", "root=pets")
    assert done.returncode == 69 and "is made for version 0 of the contract" in done.stderr


def test_what_a_run_of_a_test_says_is_short(tiny_run) -> None:
    with pytest.raises(RecipeError, match=r"no loss is called 'mine': there is "):
        tiny_run("losses.mine.weight=1")
    with pytest.raises(RecipeError, match="critic_steps 9 is more than") as caught:
        tiny_run("train.critic_steps=9")
    assert len(caught.traceback) == 2  # This line, and the fixture's own, which pytest hides.


def test_a_run_of_a_test_leaves_torchs_generator(tiny_run) -> None:
    before = torch.random.get_rng_state()
    tiny_run()
    assert torch.equal(before, torch.random.get_rng_state())


def test_records_are_of_their_own() -> None:
    """The smallest dataset that there is, in one test."""

    class One(Dataset):
        """One picture."""

        name = "one"
        attributes = (Attribute("Young"),)

        def records(self, split):
            return [Record("one", None, {"Young": True})] if split == "train" else []

        def load(self, record):
            return np.zeros((8, 8, 3), np.uint8)

    found = {each.name: each for each in suite("dataset").results(One(One.Config()))}
    assert [each.text() for each in found.values() if each.state == "failed"] == []
    assert found["loads_in_spawned_processes"].state == "left out"
