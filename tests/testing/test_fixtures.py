"""What plugin authors use: checks as tests, fixtures, and `mdtranslate plugins check`."""

from __future__ import annotations

import json
import re
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
    """Translations should be as sharp as their source images."""

    name = "sharpness"

    def generator(self, t):
        return (t.fake.diff(dim=3).abs().mean((1, 2, 3)) - t.real.diff(dim=3).abs().mean((1, 2, 3))).abs()


class Blur(Sharpness):
    """Returns a mean instead of one value per sample."""

    name = "blur"

    def generator(self, t):
        return super().generator(t).mean()


@loss_checks(Sharpness)
def test_checks_are_tests(check) -> None:
    check()


def test_a_failed_check_says_what_was_expected_and_why() -> None:
    tests = {parameters.id: parameters.values[0] for parameters in loss_checks(Blur).args[1]}
    with pytest.raises(BrokenContract) as failure:
        tests["terms_are_per_sample"]()
    check = suite("loss").checks["terms_are_per_sample"]
    lines = str(failure.value).splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines] == ["terms_are_per_sample", "expected", "actual", "why"]
    assert check.expected in lines[1] and "[] for 4 samples" in lines[2] and check.why in lines[3]


def test_checks_can_be_skipped_by_name() -> None:
    mark = loss_checks(Blur, skip=["terms_are_per_sample"])
    assert "terms_are_per_sample" not in {parameters.id for parameters in mark.args[1]}
    with pytest.raises(ValueError, match="'terms'"):
        loss_checks(Blur, skip=["terms"])


def test_nothing_is_built_before_the_first_test_runs() -> None:
    def build() -> Dataset:
        raise AssertionError("built too early")

    assert len(dataset_checks(build).args[1]) == len(suite("dataset").checks)


def test_the_tiny_dataset_can_be_trained_on(tiny_dataset: Dataset, register, tiny_run) -> None:
    assert len(list(tiny_dataset.records(Split.TRAIN))) == 8
    register(type(tiny_dataset))
    run = tiny_run("datasets={shapes={}}")
    assert (run / "translator").is_dir() and json.loads((run / "status.json").read_text())["state"] == "done"


def test_a_registered_loss_can_be_trained_with(register, tiny_run) -> None:
    register(Sharpness)
    run = tiny_run("losses.sharpness.weight=0.5")
    assert "generator/sharpness" in (run / "log.jsonl").read_text()


def test_registered_components_are_removed_after_the_test() -> None:
    assert "sharpness" not in registry().names("loss")


def test_a_refused_component_fails_the_test_with_the_registrys_message(register) -> None:
    class DuplicateName(Sharpness):
        """Its name is that of another loss."""

        name = "wgan-gp"

    with pytest.raises(pytest.fail.Exception, match=r"'wgan-gp' .*stargan"):
        register(DuplicateName)


@pytest.mark.usefixtures("no_network")
def test_network_requests_fail_with_the_address() -> None:
    with pytest.raises(OSError, match=r"no network, .*'127.0.0.1'"):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(OSError, match=r"no network, .*\('127.0.0.1', 9\)"), socket.socket() as client:
        client.connect(("127.0.0.1", 9))
    with pytest.raises(OSError, match="no network"):
        socket.gethostbyname_ex("127.0.0.1")
    first, second = socket.socketpair()  # Processes of one machine may communicate.
    first.close()
    second.close()


def test_pytest_finds_the_fixtures_without_torch(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_fixtures(tiny_dataset, register, no_network):
            assert tiny_dataset.name == "shapes"

        def test_imports():
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
    """A plugin's file, and images for it in the working directory of commands."""
    rng = np.random.default_rng(0)
    for name in (f"{split}/{kind}" for split in ("train", "test") for kind in ("cat", "dog")):
        folder = tmp_path / "cwd" / "pets" / name
        folder.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / f"{name.replace('/', '-')}.jpg")
    file = tmp_path / "cwd" / "pets.py"
    file.write_text(PETS.replace("KEY", 'f"{split}/{file.name}"'))
    return file


def test_the_command_reports_failures_and_names_the_plugin(command, pets: Path) -> None:
    process = command("--plugin", "pets.py", "plugins", "check", "pets", "root=pets")
    assert process.returncode == 1
    # The README's smallest dataset has one mistake: it does not report a missing folder.
    first_lines = f"dataset pets  of plugin pets ({pets})\n  missing_folder_is_reported\n    expected  "
    assert process.stdout.startswith(first_lines)
    assert " passed\n" in process.stdout and process.stderr == "error: 1 check failed\n"


def test_the_command_writes_json(command, pets: Path) -> None:
    pets.write_text(PETS.replace("KEY", '"same"'))
    process = command("--plugin", "pets.py", "plugins", "check", "pets", "root=pets", "--json")
    (report,) = json.loads(process.stdout)
    states = {result["name"]: result["state"] for result in report["checks"]}
    assert states["keys_are_unique"] == states["splits_share_no_keys"] == "failed"
    assert states["loads_rgb_images"] == "passed" and process.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["check"], ["NAME"]),
        (["check", "avatras"], ["'avatras'", "'avatars'"]),
        (["check", "wgan-gp", "gradient_penalt=1"], ["loss 'wgan-gp'", "gradient_penalt"]),
        (["check", "basics", "a=1"], ["'basics'", "settings"]),
        (["check", "stargan", "a=1"], ["importer 'stargan'", "a: "]),
        (["check", "qqqq"], ["'qqqq'", "`mdtranslate plugins`"]),
        (["check", "folder"], ["dataset 'folder'", "mdtranslate plugins check folder root=..."]),
        (["check", "per-pair", "member=resnet-generator", "member.blocks=-1"], ["'per-pair'", "member.blocks"]),
        (["loss", "wgan-gp", "a=1"], ["'a=1'"]),
    ],
)
def test_wrong_arguments_are_named(command, arguments: list[str], named: list[str]) -> None:
    process = command("plugins", *arguments)
    assert process.returncode == 2 and process.stderr.startswith("error: ")
    assert all(text in process.stderr for text in named), process.stderr


NOISY = """
from mdtranslate import Loss, hookimpl

class Noisy(Loss):
    "Prints, and cannot be built for small images."
    name = "noisy"

    def __init__(self, config, *, label_encoder, image_size):
        print("built")
        if image_size < 32:
            raise ValueError("image_size is too small")
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)

    def generator(self, t):
        return (t.fake - t.real).abs().mean((1, 2, 3))

class Quiet(Loss):
    "Mean absolute difference."
    name = "quiet"

    def generator(self, t):
        return (t.fake - t.real).abs().mean((1, 2, 3))

@hookimpl
def register_losses():
    return [Noisy, Quiet]
"""


def test_a_component_that_cannot_be_built_is_one_failure(command, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "noisy_plugin.py").write_text(NOISY)
    process = command("--plugin", "noisy_plugin.py", "plugins", "check", "noisy_plugin", "--json")
    noisy, quiet = json.loads(process.stdout)  # What a component prints is not part of the report.
    assert noisy["error"].endswith("image_size is too small")
    assert {result["state"] for result in quiet["checks"]} == {"passed", "not applicable"}
    assert process.returncode == 1 and process.stderr.endswith("error: 1 check failed\n")


def test_the_command_reports_checks_that_did_not_run(command, pets: Path, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "noisy_plugin.py").write_text(NOISY.replace(".mean((1, 2, 3))", ".mean()"))
    process = command("--plugin", "noisy_plugin.py", "plugins", "check", "quiet")
    assert process.returncode == 1 and "\n  terms_are_per_sample\n" in process.stdout
    assert " not run, terms_are_per_sample failed\n" in process.stdout
    assert process.stderr == "error: 1 check failed\n"
    process = command("plugins", "check", "avatars")
    assert re.search(r" not applicable, .*: listing_opens_no_images, ", process.stdout) and process.returncode == 0
    pets.write_text("mdtranslate_api = 0\n")
    process = command("--plugin", "pets.py", "plugins", "check", "pets", "root=pets")
    assert process.returncode == 69 and "version 0" in process.stderr


def test_errors_of_tiny_run_have_short_tracebacks(tiny_run) -> None:
    with pytest.raises(RecipeError, match="'unknown'"):
        tiny_run("losses.unknown.weight=1")
    with pytest.raises(RecipeError, match="critic_steps") as error:
        tiny_run("train.critic_steps=9")
    assert len(error.traceback) == 2  # This test, and the fixture, which pytest hides.


def test_tiny_run_preserves_torchs_random_state(tiny_run) -> None:
    before = torch.random.get_rng_state()
    tiny_run()
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_dataset_of_one_generated_image_passes() -> None:
    class SingleImage(Dataset):
        """One black image."""

        name = "single-image"
        attributes = (Attribute("Young"),)

        def records(self, split):
            return [Record("only", None, {"Young": True})] if split == "train" else []

        def load(self, record):
            return np.zeros((8, 8, 3), np.uint8)

    results = {result.name: result for result in suite("dataset").results(SingleImage(SingleImage.Config()))}
    assert [result.format() for result in results.values() if result.state == "failed"] == []
    assert results["loads_in_spawned_processes"].state == "not applicable"
