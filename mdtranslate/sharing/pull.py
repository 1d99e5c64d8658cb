"""Takes a shared model from a folder or from Hugging Face: checked whole, and there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mdtranslate.config.run_dir import refuse_taken
from mdtranslate.config.shared_models import MANIFEST
from mdtranslate.errors import CheckpointError, RecipeError, StorageError
from mdtranslate.sharing import hub
from mdtranslate.sharing.manifest import check_names, verify
from mdtranslate.utils.files import new_folder


def pull(source: str, out: Path | None) -> Path:
    """Brings a model from `source` to the folder `out`, by default one of its name, and gives the folder.

    Raises `CheckpointError` for what is no shared model or a damaged one, `RecipeError` where `out` is taken or the
    current folder, `PluginError` where a plugin that it needs is missing, `StorageError` where a disk or Hugging Face
    refuses.
    """
    place = hub.read_place(source)
    named = Path(place.name.partition("/")[2]) if isinstance(place, hub.Repository) else Path(place.resolve().name)
    out = out or named
    if not out.absolute().name:
        raise RecipeError(f"--out {out}: name a new folder")
    refuse_taken(out)
    if isinstance(place, Path):
        names = check_names(_sizes(place), str(place))
        with new_folder(out) as side:
            _copy(place, names, side)
            verify(side, str(place))
        return out
    hub.require()
    sizes, commit = hub.listing(place)
    names = check_names(sizes, str(place))
    with new_folder(out) as side:
        hub.download(place, commit, names, side)
        verify(side, str(place))
    return out


def _sizes(folder: Path) -> dict[str, int]:
    """The files in a folder and below, with their sizes. Raises `CheckpointError` for what is neither file nor folder.

    What begins with a dot at the top is the system's or git's, and is passed over.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    found = {}
    left = [Path()]
    whole = (folder / MANIFEST).is_file()  # Somebody's home is not walked through to say that it is no model.
    while left:
        inside = left.pop()
        for entry in os.scandir(folder / inside):
            name = inside / entry.name
            if entry.name.startswith(".") and inside == Path():
                continue
            if entry.is_dir(follow_symlinks=False):
                left += [name] if whole else []
            elif entry.is_file(follow_symlinks=False):
                found[name.as_posix()] = entry.stat().st_size
            elif whole:  # A link may lead anywhere, and a pipe is waited for without end.
                raise CheckpointError(
                    f"{folder / name}: is {'a link' if entry.is_symlink() else 'no file'}, and no "
                    "part of a shared model"
                )
    return found


def _copy(folder: Path, names: Sequence[str], out: Path) -> None:
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        try:
            shutil.copyfile(folder / name, out / name, follow_symlinks=False)
        except OSError as error:
            raise StorageError(f"{folder / name}: cannot be copied: {error.strerror or error}") from None
