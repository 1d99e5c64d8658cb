"""Makes a shared model of a run, in a folder or on Hugging Face. Nothing else of the machine goes with it."""

from __future__ import annotations

import re
import shutil
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import tomli_w
from PIL import Image

from mdtranslate._version import __version__
from mdtranslate.config.recipes import read_toml
from mdtranslate.config.run_dir import RunFolder, is_run, refuse_taken
from mdtranslate.errors import CheckpointError, DataError, RecipeError
from mdtranslate.evaluation.report_schema import Measured, read_report
from mdtranslate.inference import serialization
from mdtranslate.inference.translator import Translator
from mdtranslate.sharing import hub
from mdtranslate.sharing.manifest import CARD, is_part, verify, write_manifest
from mdtranslate.sharing.model_card import Card
from mdtranslate.sharing.redaction import without_origins, without_places
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.files import disk, new_folder, sha256, write_bytes, write_json, write_text
from mdtranslate.utils.image_io import decode

MOST_PICTURE: Final = 8 * 2**20
"""Bytes of a sample grid in a model card."""


def push(run: Path, target: str, *, licence: str | None, picture: bool, private: bool, message: str | None) -> None:
    """Shares the model of `run` at `target`, a new folder or `hf://owner/name`.

    `licence`: as Hugging Face calls it. `picture`: with the newest sample grid, which shows pictures of the dataset.
    `private` and `message` are for Hugging Face. Raises `RecipeError` where the target cannot be meant or is taken,
    `CheckpointError` where the run has no translator or a damaged one, `StorageError` where a disk or Hugging Face
    refuses.
    """
    place = hub.read_place(target)
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
        raise RecipeError(f"--license {licence}: write it as Hugging Face does, such as mit, cc-by-nc-4.0 or other")
    if isinstance(place, Path):
        if private or message:
            raise RecipeError(f"--private and --message are for hf://OWNER/NAME, and {target} is a folder")
        if not place.absolute().name:
            raise RecipeError(f"{target}: name a new folder")
        refuse_taken(place, "")
        translator = Translator.load(run)
        with new_folder(place) as side:
            _fill(side, run, translator, str(place), place.absolute().name, licence, picture)
        return
    hub.require()
    if place.revision is not None:
        raise RecipeError(f"{target}: a push makes a commit of its own; write hf://{place.name}")
    translator = Translator.load(run)
    with TemporaryDirectory(prefix="mdtranslate-push-") as temporary:
        folder = Path(temporary)
        _fill(folder, run, translator, str(place), place.name.partition("/")[2], licence, picture)
        hub.upload(folder, place, private=private, message=message or f"A model of mdtranslate {__version__}")


def _fill(
    side: Path, run: Path, translator: Translator, where: str, title: str, licence: str | None, picture: bool
) -> None:
    """Writes a shared model to the empty folder `side`, and holds it against what a pull accepts."""
    folder = serialization.find(run)
    facts = tensor_dir.load_facts(folder, "translator")
    own = RunFolder(run)
    with disk(side):
        (side / "translator").mkdir()
        for file, expected in facts["files"].items():
            copy = side / "translator" / file
            try:
                shutil.copyfile(folder / file, copy)
            except FileNotFoundError:
                expected = "of a file that was there a moment ago"
            if not copy.exists() or sha256(copy) != expected:
                raise CheckpointError(
                    f"{folder}: was replaced while it was read, as a run that trains does; push again"
                )
    facts |= {
        role: {"name": part.name, **without_origins(part.config)}
        for role, part in {"encoder": translator.encoder, **translator.model.networks}.items()
    }
    # What looks like a path in a name of an attribute or a value is that name: networks and labels go by it.
    facts = without_places(facts) | {key: facts[key] for key in ("attributes", "layout")}
    # What was saved by the first versions says where a plugin lies that is a plain file.
    facts["plugins"] = [re.sub(r"\(.*[/\\]", "(", each) for each in facts["plugins"]]
    tensor_dir.save_facts(side / "translator", "translator", facts)
    recipe = None
    if is_run(run):
        tree = without_places(read_toml(run / "recipe.toml"))
        recipe = f"# {own.name}, every setting written out.\n{tomli_w.dumps(tree)}"
        write_text(side / "recipe.toml", recipe)
    report = _report(run)
    measured = report.get("weights") == facts["files"]
    if report and measured:
        with disk(side):
            (side / "evaluation").mkdir()
        write_json(side / "evaluation" / "report.json", report)
    card = Card(
        title=title,
        where=where,
        licence=licence,
        facts=facts,
        words=translator.edits(),
        usage=translator.usage,
        sample=_sample(own, side) if picture else None,
        recipe=recipe,
        report=report if measured else {},
        strangers=own.strangers,
        outdated=bool(report) and not measured,
    )
    write_text(side / CARD, card.text())
    write_manifest(side)
    verify(side, where)


def _sample(run: RunFolder, side: Path) -> str | None:
    """Puts the newest sample grid that can be read and is not too large into `side`; its name there.

    It is drawn anew: what else a file may hold beside its pixels stays here.
    """
    for file in sorted(run.samples.glob("*.png"), reverse=True):
        name = f"samples/{file.name}"
        try:
            pixels = decode(file)
        except DataError:  # A kill may have left it; the one before it shows nearly the same.
            continue
        buffer = BytesIO()
        Image.fromarray(np.asarray(pixels)).save(buffer, "PNG", optimize=True)
        if is_part(name) and buffer.tell() <= MOST_PICTURE:
            with disk(side):
                (side / "samples").mkdir()
            write_bytes(side / name, buffer.getvalue())
            return name
    return None


def _report(run: Path) -> dict[str, Any]:
    """What an evaluation measured, without where and on what machine; empty where there is none."""
    if not (found := read_report(run)):
        return {}
    kept = {
        key: found[key] for key in (*Measured.model_fields, "recipe", "mdtranslate", "made", "split") if key in found
    }
    kept["cost"] = {key: found["cost"][key] for key in ("parameters", "translator_bytes")} if "cost" in found else {}
    for each in kept["datasets"].values():  # These name files.
        each["left_out"] = ["a picture that cannot be read"] * len(each["left_out"])
    cleaned: dict[str, Any] = without_places(kept)
    return cleaned
