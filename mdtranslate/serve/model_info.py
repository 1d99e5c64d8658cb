"""Facts and evaluation results that the demo shows of a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mdtranslate.config.command_line import format_command
from mdtranslate.config.run_folder import is_run
from mdtranslate.errors import CheckpointError
from mdtranslate.evaluation.report_schema import read_report
from mdtranslate.inference import serialization
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.json_metadata import load_metadata


def model_info(translator: Translator, run: Path) -> dict[str, Any]:
    """Returns facts about a model.

    Args:
        translator: The translator.
        run: Folder of the run or of the translator.

    Returns:
        JSON with `facts`: pairs of a name and a text; `evaluations`: for each evaluated dataset its name, its number of
        test images, and rows of an attribute, the classifier's accuracy on real images, and its accuracy on edited
        images (None if it was not measured); `note`: why there are no evaluations, and which command makes them.
    """
    trained, networks = translator.trained, translator.model.networks
    num_params = {role: sum(param.numel() for param in network.parameters()) for role, network in networks.items()}
    size = translator.image_size
    facts = [
        ("Recipe", str(trained.get("recipe", ""))),
        ("Imported by", str(trained.get("imported", ""))),
        ("Trained for", f"{trained['step']:,} steps" if "step" in trained else ""),
        ("Datasets", ", ".join(translator.label_encoder.datasets)),
        ("Image size", f"{size} × {size} pixels"),
        ("Parameters", ", ".join(f"{role} {count:,}" for role, count in num_params.items())),
        ("Credit", "; ".join(translator.credit)),
    ]
    evaluations, note = _evaluations(run)
    return {"facts": [fact for fact in facts if fact[1]], "evaluations": evaluations, "note": note}


def _evaluations(run: Path) -> tuple[list[dict[str, Any]], str]:
    """Returns the results of `mdtranslate evaluate`; if there are none for these weights, a line that says why."""
    if not is_run(run):
        return [], "This folder holds a translator without its run, so there are no evaluation results."
    try:
        report = read_report(run)
        weights = load_metadata(serialization.find_translator(run), "translator")["files"]
    except CheckpointError as error:
        return [], str(error)
    if not report:
        return [], f"This model has not been evaluated. To evaluate it: {format_command('evaluate', run)}"
    if report.get("weights") != weights:
        command = format_command("evaluate", run)
        return [], f"The evaluation results are for other weights. To evaluate these: {command}"
    return [_dataset_evaluation(name, result) for name, result in report["datasets"].items()], ""


def _dataset_evaluation(name: str, result: dict[str, Any]) -> dict[str, Any]:
    figures = {key: value for group in result["figures"].values() for key, value in group.items()}
    real_accuracy = result["classifier"]["accuracy_on_real_images"]
    attributes = sorted(real_accuracy, key=lambda attribute: attribute not in result["edited"])  # Edited ones first.
    rows = [
        (attribute, _finite(real_accuracy[attribute]), _finite(figures.get(f"{attribute}/accuracy")))
        for attribute in attributes
    ]
    return {"dataset": name, "images": result["images"], "rows": rows}


def _finite(value: float | None) -> float | None:
    """Returns None for numbers that JSON cannot express."""
    return value if value is not None and math.isfinite(value) else None
