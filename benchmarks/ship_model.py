"""Makes a model that ships with mdtranslate from a run, or replaces it.

python benchmarks/ship_model.py avatars-64 runs/stargan-avatars-64-001

The run is evaluated first unless it has been; then `mdtranslate push --compact` writes the model and evaluates it, too;
only then the earlier model is replaced. The model card takes its notes from benchmarks/models/NAME.md and its own
terms, if there are some, from benchmarks/models/NAME.LICENSE.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mdtranslate.cli.main import cli
from mdtranslate.config.manifest import read_manifest
from mdtranslate.evaluation.report_schema import read_report
from mdtranslate.inference.serialization import find_translator
from mdtranslate.utils.files import new_folder
from mdtranslate.utils.json_metadata import load_metadata

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ROOT / "benchmarks" / "models"

PLUGINS = {"avatars-64": "mdtranslate_avatars", "celeba-64": "mdtranslate_stargan"}
"""The plugin that ships each model; its folder `models` is in the wheel."""


def ship(name: str, run: Path) -> Path:
    """Makes the model `name` from a run; returns its folder."""
    notes, terms = TEXTS / f"{name}.md", TEXTS / f"{name}.LICENSE"
    if read_report(run).get("weights") != load_metadata(find_translator(run), "translator")["files"]:
        cli(["evaluate", str(run)], standalone_mode=False)
    statements = ["--notes", str(notes), *(["--terms", str(terms)] if terms.is_file() else ["--license", "mit"])]
    folder = ROOT / "plugins" / PLUGINS[name] / "models" / name
    with TemporaryDirectory() as temporary:
        model = Path(temporary) / name
        cli(["push", str(run), str(model), "--compact", *statements], standalone_mode=False)
        with new_folder(folder) as target:
            shutil.copytree(model, target, dirs_exist_ok=True)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PLUGINS:
        sys.exit(f"usage: python benchmarks/ship_model.py {'|'.join(PLUGINS)} RUN")
    written = ship(sys.argv[1], Path(sys.argv[2]))
    print(f"{written}: {read_manifest(written).size / 1e6:.2f} MB without the model card")
