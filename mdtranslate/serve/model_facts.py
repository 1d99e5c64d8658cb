"""What a model is, in words and figures: its card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mdtranslate.config.command_line import typed
from mdtranslate.config.run_dir import is_run
from mdtranslate.errors import CheckpointError
from mdtranslate.evaluation.report_schema import read_report
from mdtranslate.inference import serialization
from mdtranslate.inference.translator import Translator
from mdtranslate.utils import tensor_dir


def card(translator: Translator, run: Path) -> dict[str, Any]:
    """The card of a model, as JSON.

    `facts`: pairs of a name and a text. `judged`: what the judge of `mdtranslate evaluate` saw of each dataset, in rows
    of an attribute, the share of real pictures that the judge gets right, and that of edits that it sees as wanted
    (None: there is no such figure). `note`: where nothing was measured, why, and what would measure it.
    """
    trained, networks = translator.trained, translator.model.networks
    weights = {role: sum(each.numel() for each in one.parameters()) for role, one in networks.items()}
    side = translator.image_size
    facts = [
        ("Recipe", str(trained.get("recipe", ""))),
        ("Imported by", str(trained.get("imported", ""))),
        ("Trained for", f"{trained['step']:,} steps" if "step" in trained else ""),
        ("Datasets", ", ".join(translator.encoder.datasets)),
        ("Pictures", f"{side} × {side} pixels"),
        ("Weights", ", ".join(f"{count:,} of the {role}" for role, count in weights.items())),
        ("Credit", "; ".join(translator.credit)),
    ]
    judged, note = _judged(run)
    return {"facts": [pair for pair in facts if pair[1]], "judged": judged, "note": note}


def _judged(run: Path) -> tuple[list[dict[str, Any]], str]:
    """What stands in the report of an evaluation, and, where there is none of these weights, a line that says so."""
    if not is_run(run):
        return [], "This translator lies without its run, so that nothing says how good it is."
    try:
        report, own = read_report(run), tensor_dir.load_facts(serialization.find(run), "translator")["files"]
    except CheckpointError as error:
        return [], str(error)
    if not report:
        return [], f"Nobody has measured this model yet. This does: {typed('evaluate', run)}"
    if report.get("weights") != own:
        return [], f"What was measured is not of these weights. This measures them: {typed('evaluate', run)}"
    return [_dataset(name, each) for name, each in report["datasets"].items()], ""


def _dataset(name: str, result: dict[str, Any]) -> dict[str, Any]:
    figures = {key: value for each in result["figures"].values() for key, value in each.items()}
    real = result["judge"]["accuracy_on_real_pictures"]
    order = sorted(real, key=lambda attribute: attribute not in result["edited"])
    rows = [(each, _finite(real[each]), _finite(figures.get(f"{each}/accuracy"))) for each in order]
    return {"dataset": name, "pictures": result["pictures"], "rows": rows}


def _finite(value: float | None) -> float | None:
    """JSON has no other numbers."""
    return value if value is not None and math.isfinite(value) else None
