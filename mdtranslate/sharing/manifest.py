"""The files of a shared model: those of a run that others need, and a manifest with their hashes.

::

    README.md               the model card; its owner may edit it
    mdtranslate.json        the manifest: size and hash of every file below
    recipe.toml             the recipe, if the model was trained with mdtranslate
    translator/             the trained model
    samples/STEP.png        the newest sample grid
    evaluation/report.json  the results of `mdtranslate evaluate`

There are no pickles among them, and no code of a shared model is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from mdtranslate._version import __version__
from mdtranslate.config.shared_models import MANIFEST
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, StorageError, first_line
from mdtranslate.inference import serialization
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.files import file_sha256

MODEL_CARD: Final = "README.md"

IGNORED_FILES: Final = frozenset({".gitattributes", ".gitignore", "LICENSE", "LICENSE.md", "LICENSE.txt"})
"""Files that a repository may hold besides; they are not pulled."""

_MODEL_FILES: Final = re.compile(
    r"recipe\.toml|evaluation/report\.json|samples/\d{1,12}\.png|translator/(translator\.json|[\w-]{1,64}\.safetensors)",
    re.ASCII,
)
MAX_BYTES: Final = 32 * 2**20
"""Largest size of a file without weights."""

MAX_WEIGHT_BYTES: Final = 32 * 2**30


class _FileEntry(BaseModel):
    size: Annotated[int, Field(ge=0)]
    sha256: str


class Manifest(BaseModel):
    """The content of `mdtranslate.json`.

    Attributes:
        mdtranslate: The version that wrote it.
        files: Size in bytes and hash of each file, by name.
    """

    mdtranslate: str
    files: dict[str, _FileEntry]


def is_model_file(name: str) -> bool:
    """Returns whether a shared model may contain a file of this name, with slashes on every system."""
    return _MODEL_FILES.fullmatch(name) is not None


def write_manifest(folder: Path) -> None:
    """Writes the manifest of all files in a folder but the model card."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
        for name in names
        if name not in (MODEL_CARD, MANIFEST)
    }
    tensor_dir.save_metadata(folder, Path(MANIFEST).stem, {"mdtranslate": __version__, "files": files})


def select_files(sizes: Mapping[str, int], location: str) -> list[str]:
    """Selects the files to pull, before any of them is fetched.

    Args:
        sizes: Sizes in bytes of all files at the location, by name.
        location: The folder or repository, for error messages.

    Returns:
        The names of the model's files.

    Raises:
        CheckpointError: It is not a shared model, it contains other files, or a file is too large.
    """
    if MANIFEST not in sizes:
        is_readable = {"recipe.toml", "translator.json"} & sizes.keys()
        hint = f"; commands accept {location} as it is" if is_readable else ""
        raise CheckpointError(f"{location}: not a model of `mdtranslate push`, since it has no {MANIFEST}{hint}")
    names = []
    for name, size in sorted(sizes.items()):
        if name in IGNORED_FILES:
            continue
        if not is_model_file(name) and name not in (MODEL_CARD, MANIFEST):
            raise CheckpointError(f"{location}: nothing is pulled, since {name!r} is not a file of a shared model")
        max_bytes = MAX_WEIGHT_BYTES if name.endswith(".safetensors") else MAX_BYTES
        if size > max_bytes:
            raise CheckpointError(f"{location}: {name} has {size:,} bytes; at most {max_bytes:,} are allowed")
        names.append(name)
    return names


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
    content = tensor_dir.load_metadata(folder, Path(MANIFEST).stem)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{folder / MANIFEST}: is damaged: {key}: {first['msg']}") from None
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(names.union(manifest.files) - {MODEL_CARD, MANIFEST}):
        if name not in manifest.files:
            raise CheckpointError(f"{folder / name}: is not listed in {MANIFEST}")
        if not is_model_file(name):
            raise CheckpointError(f"{folder / MANIFEST}: {name!r} is not a file of a shared model")
        if name not in names:
            raise CheckpointError(f"{folder / name}: is missing")
        entry, file = manifest.files[name], folder / name
        if file.stat().st_size != entry.size or file_sha256(file) != entry.sha256:
            raise CheckpointError(f"{file}: is damaged: its content is not what was pushed")
