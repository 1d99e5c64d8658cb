"""Descriptions of missing files and files of similar names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from mdtranslate.data.missing_files import describe_missing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    folder.mkdir()
    for number in range(12):
        (folder / unicodedata.normalize("NFD", f"M\u00fcller {number}.png")).touch()
    return folder


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"p\{}", "backslashes"),
        ("p/{}", None),
        ("P/{}", "capitals"),
        ("p/{}.jpg", "suffix .png"),
        ("elsewhere/{}", None),
    ],
)
def test_path_difference_is_described(folder: Path, path: str, expected: str | None) -> None:
    names = [nfd(f"M\u00fcller {number}.png") for number in range(10)]
    if path.endswith(".jpg"):
        names = [name.removesuffix(".png") for name in names]
    files = [f"{folder.parent}/{path.format(name)}" for name in names]
    described = describe_missing([*files, str(folder)])
    if path == "p/{}":
        assert described == ""
        return
    assert "10 of 11 files are missing" in described
    assert (expected in described and "all exist, but" in described) if expected else "exist, but" not in described


def test_dissimilar_files_are_not_suggested(folder: Path) -> None:
    root = folder.parent
    (root / "notes.txt").touch()
    (root / "sub").mkdir()
    (root / "v1.0").mkdir()
    (root / "v1.0/a.png").touch()
    for file in ("notes.jpg", "sub.png", "v1.1/a.png"):
        described = describe_missing([str(root / file)])
        assert described.startswith("1 of 1 files are missing") and "exist, but" not in described, file
    assert f"there is no folder {root / 'v1.1'}" in describe_missing([str(root / "v1.1/a.png")])
    (root / "link.png").symlink_to(root / "gone.png")
    assert "are broken links" in describe_missing([str(root / "link.png")])


def test_other_unicode_form_is_named(folder: Path) -> None:
    files = [str(folder / unicodedata.normalize("NFC", f"M\u00fcller {number}.png")) for number in range(20)]
    described = describe_missing(files, "; ")
    assert described.startswith("; 20 of 20 files are missing")
    assert "12 of the first 20 exist, but in another Unicode form" in described
