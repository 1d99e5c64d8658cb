"""Models on Hugging Face: a folder stands in for it, and nothing is asked of the network."""

from __future__ import annotations

import builtins
import inspect
import os
from importlib import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors
from huggingface_hub.hf_api import HfApi
from sharing import Hub, everything, make_run, refused
from test_cli import run as typed
from tiny import register

Capture = pytest.CaptureFixture[str]
HERE = "hf://ann/faces"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    register()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Hub, "root", tmp_path / "hub", raising=False)
    monkeypatch.setattr(Hub, "asked", [], raising=False)
    monkeypatch.setattr(Hub, "public", False, raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")  # So that what the command sets is taken back.
    make_run(tmp_path / "one")
    return Hub


def test_the_stand_in_takes_what_the_library_takes() -> None:
    for name, method in inspect.getmembers(Hub, inspect.isfunction):
        real = inspect.signature(getattr(HfApi, name)).parameters
        assert set(inspect.signature(method).parameters) <= set(real), name


def test_push_and_pull(hub: type[Hub], capsys: Capture) -> None:
    code, out, err = typed(capsys, "push", "one", HERE, "--private", "--message", "The first.")
    assert (code, err) == (0, "") and f"mdtranslate pull {HERE}" in out
    assert hub.asked == [("create_repo", {"private": True}), ("upload_folder", {"message": "The first."})]
    card = (hub.root / "ann" / "faces" / "README.md").read_text()
    assert "# faces" in card and f"mdtranslate pull {HERE}\n" in card and "'mdtranslate[hub]'" in card
    code, out, err = typed(capsys, "pull", HERE)
    assert (code, err) == (0, "") and out.startswith("faces: 16 pixels; ") and "hair=" in out
    pushed = everything(hub.root / "ann" / "faces")
    assert everything(Path("faces")) == {name: each for name, each in pushed.items() if name != ".gitattributes"}
    assert typed(capsys, "pull", f"{HERE}@v1.0", "--out", "older")[0] == 0
    assert [metadata for name, metadata in hub.asked if name == "model_info"] == [
        {"revision": None},
        {"revision": "v1.0"},
    ]


def test_pushed_again_it_is_the_new_one_whole(hub: type[Hub], capsys: Capture) -> None:
    assert typed(capsys, "push", "one", HERE)[0] == 0
    Path("one/samples/000020.png").rename("one/samples/000040.png")
    (Path("one") / "evaluation" / "report.json").unlink()
    assert typed(capsys, "push", "one", HERE)[0] == 0
    names = set(everything(hub.root / "ann" / "faces"))
    assert "samples/000040.png" in names and not {"samples/000020.png", "evaluation/report.json"} & names
    assert typed(capsys, "pull", HERE)[0] == 0


def test_a_licence_that_was_added_there_stays_and_one_of_the_model_is_pulled(hub: type[Hub], capsys: Capture) -> None:
    assert typed(capsys, "push", "one", HERE)[0] == 0
    licence = hub.root / "ann" / "faces" / "LICENSE"
    licence.write_text("MIT")
    assert typed(capsys, "push", "one", HERE)[0] == 0 and licence.read_text() == "MIT"
    assert typed(capsys, "pull", HERE)[0] == 0 and not Path("faces/LICENSE").exists()
    Path("terms.txt").write_text("For tests only")
    assert typed(capsys, "push", "one", HERE, "--terms", "terms.txt")[0] == 0
    assert typed(capsys, "pull", HERE, "--out", "own")[0] == 0
    assert Path("own/LICENSE").read_text() == licence.read_text() == "For tests only"


def test_what_is_to_be_private_goes_to_no_public_repository(
    hub: type[Hub], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "public", True)  # As it was made once, which a push does not change.
    code, out, err = typed(capsys, "push", "one", HERE, "--private")
    assert (code, out) == (2, "") and err.startswith(f"error: {HERE}: ") and "--private" in err
    assert "upload_folder" not in dict(hub.asked)
    assert typed(capsys, "push", "one", HERE)[0] == 0


def test_a_repository_of_something_else_is_left_alone(hub: type[Hub], capsys: Capture) -> None:
    other = hub.root / "ann" / "faces" / "pytorch_model.bin"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"pickled")
    (other.parent / ".gitattributes").touch()
    code, line = refused(capsys, "push", "one", HERE)
    assert code == 2 and line.startswith(f"{HERE}: holds pytorch_model.bin")
    assert "upload_folder" not in dict(hub.asked)
    code, line = refused(capsys, "pull", HERE)
    assert code == 65 and line.startswith(f"{HERE}: ") and "mdtranslate.json" in line
    other.rename(other.with_name("mdtranslate.json"))
    other.write_bytes(b"pickled")
    code, line = refused(capsys, "pull", HERE)
    assert code == 65 and "'pytorch_model.bin'" in line
    assert "snapshot_download" not in dict(hub.asked)


def test_a_damaged_download_is_refused(hub: type[Hub], capsys: Capture) -> None:
    assert typed(capsys, "push", "one", HERE)[0] == 0
    weights = hub.root / "ann" / "faces" / "translator" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    code, line = refused(capsys, "pull", HERE)
    assert code == 65 and line.startswith(f"{HERE}/translator/weights.safetensors: is damaged")


@pytest.mark.parametrize("text", ["hf:ann/faces", "hf://faces", "hf://ann/faces/more", "hf://ann/f aces", "s3://a/b"])
def test_what_is_neither_a_repository_nor_a_folder(capsys: Capture, text: str) -> None:
    for words in (("pull", text), ("push", "one", text)):
        code, line = refused(capsys, *words)
        assert code == 2
        assert line.startswith(f"{text}: write hf://OWNER/NAME")
    code, line = refused(capsys, "push", "one", f"{HERE}@v1.0")
    assert code == 2 and line.endswith(f"write {HERE}")


def answer(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """An error as the library raises it for an answer of the service."""
    response: Any = SimpleNamespace(headers={}, request=None, status_code=status)
    return kind(f"{status} Client Error\n\nmore of it", response=response)


FAILURES: dict[str, tuple[BaseException, int, str, int, str]] = {
    "none": (
        answer(errors.RepositoryNotFoundError, 404),
        65,
        "no such repository; if it is private, log in with `hf auth login`, or set HF_TOKEN",
        74,
        "no permission to write to it: log in with `hf auth login`, or set HF_TOKEN",
    ),
    "gated": (answer(errors.GatedRepoError, 403), 65, "access is restricted", 65, "access is restricted"),
    "revision": (answer(errors.RevisionNotFoundError, 404), 65, "no branch, tag or commit", 65, "no branch"),
    "no token": (
        answer(errors.HfHubHTTPError, 401),
        74,
        "no permission to read it: log",
        74,
        "no permission to write to it: log",
    ),
    "no such owner": (
        answer(errors.HfHubHTTPError, 403),
        74,
        "no permission to read it",
        74,
        "no permission to write to it",
    ),
    "down": (answer(errors.HfHubHTTPError, 503), 74, "HfHubHTTPError: 503 Client", 74, "HfHubHTTPError: 503"),
    "offline": (errors.OfflineModeIsEnabled("set"), 74, "HF_HUB_OFFLINE is set", 74, "HF_HUB_OFFLINE is set"),
    "no network": (ConnectionError("no route"), 74, "ConnectionError: no route", 74, "ConnectionError: no route"),
    "name": (errors.HFValidationError("bad"), 2, "invalid name", 2, "invalid name"),
    "full": (OSError(28, "No space left on device", "/tmp/x"), 74, "/tmp/x: cannot be written: No space", 74, "/tmp/x"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_what_hugging_face_answers_is_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, hub: type[Hub], what: str
) -> None:
    error, reading, read, writing, written = FAILURES[what]

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(hub, "model_info", fail)
    code, line = refused(capsys, "pull", HERE)
    assert code == reading and read in line and (what == "full" or line.startswith(f"{HERE}: "))
    monkeypatch.setattr(hub, "create_repo", fail)
    code, line = refused(capsys, "push", "one", HERE)
    assert code == writing and written in line


def test_without_the_library_it_says_what_to_install(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = util.find_spec

    def hidden(name: str, package: str | None = None) -> Any:
        return None if name == "huggingface_hub" else find_spec(name, package)

    monkeypatch.setattr("mdtranslate.sharing.hub.find_spec", hidden)
    for words in (("pull", HERE), ("push", "one", HERE)):
        code, line = refused(capsys, *words)
        assert (code, line) == (69, "hf:// needs huggingface_hub: pip install 'mdtranslate[hub]'")


def test_folders_need_no_library(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def strict(name: str, *more: Any) -> Any:
        assert not name.startswith("huggingface_hub")
        return imported(name, *more)

    monkeypatch.setattr(builtins, "__import__", strict)
    assert typed(capsys, "push", "one", "shared")[0] == 0
    assert typed(capsys, "pull", "shared", "--out", "own")[0] == 0
    assert os.listdir("own") and os.listdir("own/translator")  # noqa: PTH208
