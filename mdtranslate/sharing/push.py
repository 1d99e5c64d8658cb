"""Pushes the model of a run to a folder or to Hugging Face, without paths and other facts of this machine."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import tomli_w
import torch
from PIL import Image

from mdtranslate._version import __version__
from mdtranslate.config.manifest import (
    LICENCE,
    MODEL_CARD,
    check_listed_files,
    is_model_file,
    is_shared,
    one_line,
    write_manifest,
)
from mdtranslate.config.run_folder import RunFolder, is_run, refuse_existing
from mdtranslate.config.toml_tree import read_toml
from mdtranslate.data.recipe_datasets import Progress
from mdtranslate.errors import CheckpointError, DataError, RecipeError
from mdtranslate.evaluation.report_schema import ReportSchema, read_report
from mdtranslate.inference import serialization
from mdtranslate.inference.translator import Translator
from mdtranslate.sharing import hub
from mdtranslate.sharing.compact import write_compact_run
from mdtranslate.sharing.model_card import ModelCard
from mdtranslate.sharing.redaction import clear_initial_weights, remove_paths
from mdtranslate.sharing.verification import verify
from mdtranslate.utils.files import file_sha256, new_folder, storage_errors, write_bytes, write_json, write_text
from mdtranslate.utils.image_io import read_image
from mdtranslate.utils.json_metadata import load_metadata, save_metadata

MAX_SAMPLE_GRID_BYTES: Final = 8 * 2**20
"""Largest size of the sample grid in a model card."""


MAX_TEXT_BYTES: Final = 256 * 2**10
"""Largest size of terms and notes."""


@dataclass(frozen=True)
class Statements:
    """What the author of a shared model states about it.

    Attributes:
        licence: Identifier of the licence at Hugging Face, such as `mit`; None if none is stated.
        terms: Text of the model's own terms, whose first line is a summary; empty if it has none.
        notes: Markdown for the model card about intended use, bias and the like; may be empty.
    """

    licence: str | None = None
    terms: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        """Raises `RecipeError` if the licence is not an identifier."""
        if self.licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.licence):
            raise RecipeError(
                f"--license {self.licence}: not an identifier of Hugging Face, such as mit, cc-by-nc-4.0 or other"
            )

    @property
    def summary(self) -> str:
        """The first line of the terms; empty if there are none."""
        return one_line(next((line for line in self.terms.splitlines() if line.strip()), ""))

    @classmethod
    def read(cls, run: Path, licence: str | None, terms: Path | None, notes: Path | None) -> Statements:
        """Reads the statements from files; without a file, a shared model keeps its own.

        Raises:
            RecipeError: The licence is not an identifier, or a file cannot be read or is empty.
            CheckpointError: The shared model is damaged.
        """
        manifest = check_listed_files(run) if is_shared(run) else None
        earlier_terms = _read_text(run / LICENCE, "") if manifest and manifest.terms else ""
        earlier_notes = manifest.notes if manifest else ""
        return cls(
            licence,
            earlier_terms if terms is None else _read_text(terms, "--terms "),
            earlier_notes if notes is None else _read_text(notes, "--notes "),
        )


NO_STATEMENTS: Final = Statements()


def push(
    run: Path,
    target: str,
    statements: Statements = NO_STATEMENTS,
    *,
    include_sample_grid: bool,
    private: bool = False,
    message: str | None = None,
    compact_on: torch.device | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any] | None:
    """Shares the model of a run.

    Args:
        run: The run, or a folder with a translator.
        target: A new folder, or `hf://owner/name`.
        statements: What its author states about it.
        include_sample_grid: Whether to include the newest sample grid, which shows images of the dataset.
        private: Create a private repository; for Hugging Face only.
        message: The commit message; for Hugging Face only.
        compact_on: Make the model compact (see `write_compact_run`), on this device.
        progress: Receives what is computed for a compact model, and how much of it is done.

    Returns:
        What changed in a compact model; None for others.

    Raises:
        RecipeError: An argument is invalid, or the target exists already.
        CheckpointError: There is no translator, or it is corrupt.
        DataError: The images for a compact model cannot be read.
        PluginError: `huggingface_hub` is not installed.
        StorageError: Files cannot be read or written, or Hugging Face refuses access.
    """
    location = hub.parse_location(target)
    if isinstance(location, Path):
        if private or message:
            raise RecipeError(f"--private and --message are only for hf://OWNER/NAME, and {target} is a folder")
        if not location.absolute().name:
            raise RecipeError(f"{target}: name a new folder")
        refuse_existing(location, "")
    else:
        hub.require_library()
        if location.revision is not None:
            raise RecipeError(f"{target}: cannot push to an existing revision; write hf://{location.name}")
    with TemporaryDirectory(prefix="mdtranslate-push-") as temporary_name:
        temporary, changes = Path(temporary_name), None
        if compact_on is not None:
            changes = write_compact_run(run, temporary / "run", compact_on, progress)
            run = temporary / "run"
        translator = Translator.load(run)
        if isinstance(location, Path):
            with new_folder(location) as folder:
                title = location.absolute().name
                _write_model(folder, run, translator, str(location), title, statements, include_sample_grid)
            return changes
        folder, title = temporary / "model", location.name.partition("/")[2]
        folder.mkdir()
        _write_model(folder, run, translator, str(location), title, statements, include_sample_grid)
        hub.upload(folder, location, private=private, message=message or f"A model of mdtranslate {__version__}")
    return changes


def _write_model(
    folder: Path,
    run: Path,
    translator: Translator,
    location: str,
    title: str,
    statements: Statements,
    include_sample_grid: bool,
) -> None:
    """Writes a shared model to an empty folder, and checks it as `pull` does."""
    run_folder = RunFolder(run)
    metadata = _copy_translator(run, translator, folder)
    recipe = None
    if is_run(run):
        tree = remove_paths(read_toml(run / "recipe.toml"))
        recipe = f"# {run_folder.name}, every setting written out.\n{tomli_w.dumps(tree)}"
        write_text(folder / "recipe.toml", recipe)
    report = _read_public_report(run)
    is_current = report.get("weights") == metadata["files"]
    if report and is_current:
        with storage_errors(folder):
            (folder / "evaluation").mkdir()
        write_json(folder / "evaluation" / "report.json", report)
    card = ModelCard(
        title=title,
        location=location,
        licence=statements.licence,
        terms=statements.summary,
        notes=statements.notes,
        metadata=metadata,
        edits=translator.edits(),
        usage=translator.usage,
        sample_grid=_write_sample_grid(run_folder, folder) if include_sample_grid else None,
        recipe=recipe,
        report=report if is_current else {},
        third_party_plugins=run_folder.third_party_plugins,
        is_report_outdated=bool(report) and not is_current,
    )
    write_text(folder / MODEL_CARD, card.text())
    if statements.terms:
        write_text(folder / LICENCE, statements.terms)
    write_manifest(folder, terms=statements.summary, notes=statements.notes)
    verify(folder, location)


def _copy_translator(run: Path, translator: Translator, folder: Path) -> dict[str, Any]:
    """Copies the weights, and writes `translator.json` without paths; returns its content."""
    source = serialization.find_translator(run)
    metadata: dict[str, Any] = load_metadata(source, "translator")
    with storage_errors(folder):
        (folder / "translator").mkdir()
        for file, sha256 in metadata["files"].items():
            copy = folder / "translator" / file
            try:
                shutil.copyfile(source / file, copy)
                is_unchanged = file_sha256(copy) == sha256
            except FileNotFoundError:
                is_unchanged = False
            if not is_unchanged:
                raise CheckpointError(f"{source}: was replaced while it was read, perhaps by a run; push again")
    components = {"label_encoder": translator.label_encoder, **translator.model.networks}
    metadata |= {
        role: {"name": component.name, **clear_initial_weights(component.config)}
        for role, component in components.items()
    }
    # Names of attributes and values may look like paths; changing them would change what labels mean.
    metadata = remove_paths(metadata) | {key: metadata[key] for key in ("attributes", "channel_names")}
    # Early versions stored the folder of plugins that are single files.
    metadata["plugins"] = [re.sub(r"\(.*[/\\]", "(", plugin) for plugin in metadata["plugins"]]
    save_metadata(folder / "translator", "translator", metadata)
    return metadata


def _write_sample_grid(run: RunFolder, folder: Path) -> str | None:
    """Writes the newest sample grid that is readable and not too large; returns its name.

    It is encoded again, without the metadata that an image file may hold.
    """
    for file in sorted(run.samples.glob("*.png"), reverse=True):
        name = f"samples/{file.name}"
        try:
            pixels = read_image(file)
        except DataError:  # A run that was killed may leave an incomplete file; use the one before.
            continue
        buffer = BytesIO()
        Image.fromarray(np.asarray(pixels)).save(buffer, "PNG", optimize=True)
        if is_model_file(name) and buffer.tell() <= MAX_SAMPLE_GRID_BYTES:
            with storage_errors(folder):
                (folder / "samples").mkdir()
            write_bytes(folder / name, buffer.getvalue())
            return name
    return None


def _read_public_report(run: Path) -> dict[str, Any]:
    """Returns the results of the evaluation without facts of this machine; empty if there are none."""
    if not (report := read_report(run)):
        return {}
    keys = (*ReportSchema.model_fields, "recipe", "mdtranslate", "created", "split")
    public = {key: report[key] for key in keys if key in report}
    cost_keys = ("parameters", "translator_bytes")
    public["cost"] = {key: report["cost"][key] for key in cost_keys} if "cost" in report else {}
    for result in public["datasets"].values():  # The messages contain paths.
        result["left_out"] = ["an image that cannot be read"] * len(result["left_out"])
    cleaned: dict[str, Any] = remove_paths(public)
    return cleaned


def _read_text(file: Path, option: str) -> str:
    """Reads a text file; `option` is what named it, for messages."""
    try:
        content = file.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise RecipeError(f"{option}{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{option}{file}: is not a text in UTF-8") from None
    if not text.strip() or len(content) > MAX_TEXT_BYTES:
        raise RecipeError(f"{option}{file}: has {len(content):,} bytes; expected a text of at most {MAX_TEXT_BYTES:,}")
    return text
