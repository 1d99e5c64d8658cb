"""A run to share, and a Hugging Face that is a folder."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_cli import run as typed
from tiny import tiny_translator

SECRET = "/home/ann-smith/private"
"""What stands in every file of the run where a path can stand."""

RECIPE = {
    "datasets": {"celeba": {"root": f"{SECRET}/celeba", "nested": [{"file": f"file://{SECRET}/table.csv"}]}},
    "train": {"steps": 20, "init": "~/ann-smith-runs/first"},
    "evaluation": {"classifier": {"weights": "C:\\Users\\ann-smith\\classifier.pth"}},
}


def report(weights: dict[str, str]) -> dict[str, Any]:
    """What `mdtranslate evaluate` leaves, with a name of somebody wherever one can be."""
    return {
        "run": f"{SECRET}/runs/one",
        "recipe": "tiny",
        "device": "cuda:0 (ann-smith's)",
        "created": "2026-11-27T08:50:37+00:00",
        "split": "test",
        "weights": weights,
        "cost": {"parameters": {"generator": 7}, "translator_bytes": 9, "measured_on": {"device": "ann-smith's"}},
        "datasets": {
            "celeba": {
                "classifier": {
                    "accuracy_on_real_images": {"hair": 0.987, "Male": 0.5},
                    "majority_share": {"hair": 0.4, "Male": 0.5},
                    "weights": f"{SECRET}/classifier.pth",
                },
                "images": 31,
                "left_out": [f"{SECRET}/1.jpg: is damaged"],
                "edited": ["hair", "Male"],
                "edits": {"hair=Blond_Hair": 20, "Male=yes": 11},
                "figures": {
                    "edit-accuracy": {"hair/accuracy": 0.876, "Male/accuracy": 0.25, "preservation": 0.765},
                    "counterfactual": {"hair/psnr gain": -1.25},
                    "gap-closed": {"gap closed (lite)": 0.42, "hair/gap closed (lite)": 0.419},
                },
                "metadata": {},
            }
        },
    }


def make_run(folder: Path, *, evaluated: bool = True) -> Path:
    """The folder of a run that was trained and evaluated on somebody's machine."""
    tiny_translator().save(folder / "translator")
    metadata = json.loads((folder / "translator" / "translator.json").read_text())
    text = f"# tiny, every setting written out.\n{tomli_w.dumps(RECIPE)}"
    (folder / "recipe.toml").write_text(text)
    (folder / "environment.json").write_text(json.dumps([{"command": [SECRET]}]))
    (folder / "samples").mkdir()
    for step, level in ((0, 0), (20, 200)):
        png_info = PngInfo()
        png_info.add_text("Software", SECRET)
        grey = Image.fromarray(np.full((8, 12, 3), level, np.uint8))
        grey.save(folder / "samples" / f"{step:06d}.png", pnginfo=png_info)
    if evaluated:
        (folder / "evaluation").mkdir()
        (folder / "evaluation" / "report.json").write_text(json.dumps(report(metadata["files"])))
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    """The files of a folder and below, by name."""
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def reseal(folder: Path, name: str = "mdtranslate", **changed: Any) -> None:
    """Writes a file of facts with other content and the digest that belongs to it, as who wants to do harm can."""
    file = folder / f"{name}.json"
    body = {key: value for key, value in json.loads(file.read_text()).items() if key != "digest"} | changed
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps({**body, "digest": digest}))


def relist(folder: Path) -> None:
    """Brings the list of a shared model up to what lies there."""
    files = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in everything(folder).items()
        if name not in ("README.md", "mdtranslate.json")
    }
    reseal(folder, files=files)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the line of a command that must fail and change nothing on the disk."""
    before = sorted(Path().rglob("*"))
    code, out, err = typed(capsys, *arguments)
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: "), err
    assert sorted(Path().rglob("*")) == before
    return code, err.removeprefix("error: ").strip()


class Hub:
    """The functions of `huggingface_hub.HfApi` that are called, over a folder; it has their signatures."""

    root: Path
    public: bool
    """Whether what it holds already is for everybody."""
    asked: list[tuple[str, dict[str, Any]]]

    def __init__(self, *, library_name: str | None = None) -> None:
        assert library_name == "mdtranslate"

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool | None, exist_ok: bool) -> None:
        self.asked.append(("create_repo", {"private": private}))
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        (self.root / repo_id / ".gitattributes").write_text("*.safetensors filter=lfs\n")  # As Hugging Face does.

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        return sorted(everything(self.root / repo_id))

    def upload_folder(
        self, *, repo_id: str, repo_type: str, folder_path: Path, commit_message: str, delete_patterns: list[str] | None
    ) -> None:
        self.asked.append(("upload_folder", {"message": commit_message}))
        for name in everything(self.root / repo_id):
            if any(fnmatch.fnmatch(name, pattern) for pattern in delete_patterns or ()):
                (self.root / repo_id / name).unlink()
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def model_info(self, repo_id: str, *, revision: str | None = None, files_metadata: bool = False) -> Any:
        if files_metadata:  # Sizes are given only then.
            self.asked.append(("model_info", {"revision": revision}))
        files = everything(self.root / repo_id) if files_metadata else {}
        siblings = [SimpleNamespace(rfilename=name, size=len(content)) for name, content in files.items()]
        return SimpleNamespace(siblings=siblings, sha="c0ffee", private=not self.public)

    def snapshot_download(
        self, repo_id: str, *, revision: str, local_dir: Path, allow_patterns: list[str], etag_timeout: float
    ) -> None:
        assert revision == "c0ffee", "what was listed and what is fetched must be of one commit"
        (local_dir / ".cache" / "huggingface").mkdir(parents=True)
        for name, content in everything(self.root / repo_id).items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                (local_dir / name).write_bytes(content)
