"""Verifies a shared model before others get it, or before it is used."""

from __future__ import annotations

from pathlib import Path

from mdtranslate.config.manifest import MANIFEST, MODEL_CARD, check_listed_files, read_manifest
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, StorageError, first_line
from mdtranslate.inference import serialization


def verify(folder: Path, location: str) -> None:
    """Checks every file of a shared model against its hash, and loads its translator.

    Args:
        folder: A folder with the files, which may be temporary.
        location: Where the files come from, for error messages.

    Raises:
        CheckpointError: A file is corrupt, missing or not part of a shared model; the message names it.
        PluginError: A plugin that the model needs is not installed.
        StorageError: A file cannot be read.
    """
    try:
        _check_files(folder)
        serialization.load_model(folder)
    except (CheckpointError, StorageError, PluginError) as error:
        raise type(error)(str(error).replace(str(folder), location)) from None
    except MdtranslateError as error:  # Such as a RecipeError, whose exit code would blame the user's input.
        raise CheckpointError(f"{location}: {error}".replace(str(folder), location)) from None
    except Exception as error:  # Malicious content with valid hashes may raise anything.
        raise CheckpointError(f"{location}: the translator cannot be loaded: {first_line(error)}") from None


def _check_files(folder: Path) -> None:
    """Checks that a folder holds the files in its manifest, unchanged, and no others."""
    listed = read_manifest(folder).files
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if unlisted := sorted(names - {*listed, MODEL_CARD, MANIFEST}):
        raise CheckpointError(f"{folder / unlisted[0]}: is not listed in {MANIFEST}")
    check_listed_files(folder)
