"""JSON files with a format number and a digest: what describes a trained model, a checkpoint or a shared model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdtranslate.errors import CheckpointError, FormatError, StorageError
from mdtranslate.utils.files import write_json

FORMAT = 2


def save_metadata(folder: Path, name: str, metadata: Mapping[str, Any]) -> None:
    """Writes the JSON file `name`.json of a folder, with its format and digest."""
    body = {"format": FORMAT, **metadata}
    write_json(folder / f"{name}.json", {**body, "digest": _digest(body)})


def load_metadata(folder: Path, name: str) -> dict[str, Any]:
    """Loads and verifies the JSON file `name`.json of a folder.

    Raises:
        CheckpointError: The file is missing or has changed.
        FormatError: Another version of mdtranslate wrote it.
        StorageError: It cannot be read from the disk.
    """
    path = folder / f"{name}.json"
    try:
        metadata = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # RecursionError: a hostile file can be nested too deeply.
        raise CheckpointError(f"{path}: is damaged: {error}") from None
    body = {key: value for key, value in metadata.items() if key != "digest"} if isinstance(metadata, dict) else {}
    saved_format = body.get("format")
    if isinstance(saved_format, int) and saved_format > FORMAT:  # Its digest may be computed differently.
        raise FormatError(
            f"{path}: has format {saved_format} of a later version of mdtranslate; this version reads {FORMAT}: "
            "pip install -U mdtranslate"
        )
    if not body or metadata.get("digest") != _digest(body):
        raise CheckpointError(f"{path}: is damaged: its content has changed since it was saved")
    if saved_format != FORMAT:
        raise FormatError(f"{path}: has format {saved_format}; this version of mdtranslate reads {FORMAT}")
    return body


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
