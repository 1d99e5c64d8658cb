"""Pulls a shared model from a folder or from Hugging Face: all of its files, checked, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mdtranslate.config.manifest import LICENCE, MANIFEST, read_manifest, select_files
from mdtranslate.config.run_folder import refuse_existing
from mdtranslate.config.shipped_models import resolve_run
from mdtranslate.errors import CheckpointError, RecipeError, StorageError
from mdtranslate.sharing import hub
from mdtranslate.sharing.verification import verify
from mdtranslate.utils.files import new_folder


def pull(source: str, out: Path | None) -> Path:
    """Copies or downloads a shared model.

    Args:
        source: A folder, the name of a shipped model, or `hf://owner/name`, optionally with `@revision`.
        out: The folder to create; None for one with the name of the source.

    Returns:
        The folder.

    Raises:
        CheckpointError: The source is not a shared model, or it is corrupt.
        RecipeError: `out` exists already, or is the current folder.
        PluginError: A plugin that the model needs is not installed.
        StorageError: Files cannot be read or written, or Hugging Face refuses access.
    """
    location = hub.parse_location(source)
    if isinstance(location, Path):
        location = resolve_run(source)
    name = location.name.partition("/")[2] if isinstance(location, hub.Repository) else location.resolve().name
    out = out or Path(name)
    if not out.absolute().name:
        raise RecipeError(f"--out {out}: name a new folder")
    refuse_existing(out)
    if isinstance(location, Path):
        names = select_files(_file_sizes(location), str(location))
        with new_folder(out) as temporary:
            _copy(location, names, temporary)
            _remove_unlisted_licence(temporary)
            verify(temporary, str(location))
        return out
    hub.require_library()
    sizes, commit = hub.list_files(location)
    names = select_files(sizes, str(location))
    with new_folder(out) as temporary:
        hub.download(location, commit, names, temporary)
        _remove_unlisted_licence(temporary)
        verify(temporary, str(location))
    return out


def _file_sizes(folder: Path) -> dict[str, int]:
    """Returns the sizes of all files in a folder, by relative path; hidden ones at the top are ignored, such as `.git`.

    Raises `CheckpointError` for links, pipes and the like: a link may lead anywhere, and reading a pipe may block.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    sizes = {}
    subfolders = [Path()]
    has_manifest = (folder / MANIFEST).is_file()  # Without it, do not walk through what may be a home folder.
    while subfolders:
        subfolder = subfolders.pop()
        for entry in os.scandir(folder / subfolder):
            name = subfolder / entry.name
            if entry.name.startswith(".") and subfolder == Path():
                continue
            if entry.is_dir(follow_symlinks=False):
                subfolders += [name] if has_manifest else []
            elif entry.is_file(follow_symlinks=False):
                sizes[name.as_posix()] = entry.stat().st_size
            elif has_manifest:
                kind = "a link" if entry.is_symlink() else "not a regular file"
                raise CheckpointError(f"{folder / name}: is {kind}, which a shared model cannot contain")
    return sizes


def _remove_unlisted_licence(folder: Path) -> None:
    """Removes a licence that was added to the files of a model later: only listed files are pulled."""
    if (folder / LICENCE).is_file() and LICENCE not in read_manifest(folder).files:
        (folder / LICENCE).unlink()


def _copy(folder: Path, names: Sequence[str], out: Path) -> None:
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        try:
            shutil.copyfile(folder / name, out / name, follow_symlinks=False)
        except OSError as error:
            raise StorageError(f"{folder / name}: cannot be copied: {error.strerror or error}") from None
