"""The files of a shared model: those of a run that others need, and a manifest with their hashes.

::

    README.md               the model card; its owner may edit it
    mdtranslate.json        the manifest: size and hash of every file below
    recipe.toml             the recipe, if the model was trained with mdtranslate
    translator/             the trained model
    samples/STEP.png        the newest sample grid
    evaluation/report.json  the results of `mdtranslate evaluate`
    LICENSE                 the model's own terms, if the manifest has them

There are no pickles among them, and no code of a shared model is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from mdtranslate._version import __version__
from mdtranslate.errors import CheckpointError, StorageError
from mdtranslate.utils.files import file_sha256, read_json
from mdtranslate.utils.json_metadata import load_metadata, save_metadata

MANIFEST: Final = "mdtranslate.json"
"""The file that makes a folder a shared model."""

MODEL_CARD: Final = "README.md"

LICENCE: Final = "LICENSE"

IGNORED_FILES: Final = frozenset({".gitattributes", ".gitignore", "LICENSE.md", "LICENSE.txt"})
"""Files that a repository may hold besides; they are not pulled."""

_MODEL_FILES: Final = re.compile(
    r"LICENSE|recipe\.toml|evaluation/report\.json|samples/\d{1,12}\.png|translator/(translator\.json|[\w-]{1,64}\.safetensors)",
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
        terms: The model's own terms of use in one line, such as "Non-commercial research only"; the whole text is in
            LICENSE. Empty if it has none.
        notes: What its author says in the model card about intended use, bias and the like, as Markdown.
    """

    mdtranslate: str
    files: dict[str, _FileEntry]
    terms: str = ""
    notes: str = ""

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(entry.size for entry in self.files.values())


def is_model_file(name: str) -> bool:
    """Returns whether a shared model may contain a file of this name, with slashes on every system."""
    return _MODEL_FILES.fullmatch(name) is not None


def is_shared(folder: Path) -> bool:
    """Whether a folder is a shared model, from `mdtranslate pull` or `push`, or of a plugin."""
    return (folder / MANIFEST).is_file()


def read_terms(folder: Path) -> str:
    """Returns the terms of the shared model that a folder is or belongs to; empty if there are none."""
    model = folder if is_shared(folder) else folder.parent
    terms = read_json(model / MANIFEST).get("terms")
    return one_line(terms) if isinstance(terms, str) else ""


def one_line(text: str) -> str:
    """Returns a text of a model as one line of at most 300 characters, without control characters of terminals."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:300]


def write_manifest(folder: Path, *, terms: str = "", notes: str = "") -> None:
    """Writes the manifest of all files in a folder but the model card; the other arguments are as in `Manifest`."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
        for name in names
        if name not in (MODEL_CARD, MANIFEST)
    }
    texts = {key: text for key, text in (("terms", terms), ("notes", notes)) if text}
    save_metadata(folder, Path(MANIFEST).stem, {"mdtranslate": __version__, "files": files, **texts})


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a shared model.

    Raises:
        CheckpointError: It is missing or damaged.
        StorageError: It cannot be read from the disk.
    """
    content = load_metadata(folder, Path(MANIFEST).stem)
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{folder / MANIFEST}: is damaged: {key}: {first['msg']}") from None


def check_listed_files(folder: Path) -> Manifest:
    """Checks every file in the manifest of a shared model against its hash; returns the manifest.

    Raises:
        CheckpointError: A file is missing or has changed, or the manifest is damaged; the message names the file.
        StorageError: A file cannot be read.
    """
    manifest = read_manifest(folder)
    for name, entry in sorted(manifest.files.items()):
        file = folder / name
        if not is_model_file(name):
            raise CheckpointError(f"{folder / MANIFEST}: {name!r} is not a file of a shared model")
        try:
            is_intact = file.stat().st_size == entry.size and file_sha256(file) == entry.sha256
        except (FileNotFoundError, NotADirectoryError):
            raise CheckpointError(f"{file}: is missing") from None
        except OSError as error:
            raise StorageError(f"{file}: cannot be read: {error.strerror}") from None
        if not is_intact:
            raise CheckpointError(f"{file}: is damaged: its content is not what was pushed")
    return manifest


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
