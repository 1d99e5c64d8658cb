"""What a translator costs: weights, bytes, time to train, pictures per second. Speed is that of the machine at hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch

from mdtranslate.device import hardware
from mdtranslate.runfolder import RunFolder
from mdtranslate.translator import Translator

AT_ONCE: Final = 16
ROUNDS: Final = 5


def cost(run: RunFolder, translator: Translator) -> dict[str, Any]:
    """Measures a run, and its translator on batches of 16 at the size of training."""
    networks = translator.model.networks
    lines = _lines(run.timing)
    return {
        "parameters": {role: sum(each.numel() for each in one.parameters()) for role, one in networks.items()},
        "translator_bytes": sum(file.stat().st_size for file in run.translator.rglob("*") if file.is_file()),
        "training_seconds": round(sum(line.get("seconds", 0.0) for line in lines), 1),
        "peak_bytes": max((line["peak_bytes"] for line in lines if "peak_bytes" in line), default=None),
        "pictures_per_second": round(_speed(translator), 1),
        "measured_on": hardware(translator.device),
    }


def _speed(translator: Translator) -> float:
    """Pictures per second, the median of some rounds after one that warms up; each to what a bank has to work for."""
    encoder, size = translator.encoder, translator.image_size
    known = {each.name: each.allowed[0] for each in encoder.attributes[0]}
    change = next(edit for edit in encoder.edits(known, 0))
    before, after = (encoder.encode(each, 0).repeat(AT_ONCE, 1) for each in (known, {**known, **change}))
    real, took = torch.zeros(AT_ONCE, 3, size, size), list[float]()
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        translator.translate(real, before, after).cpu()
        took.append(time.perf_counter() - began)
    return AT_ONCE / median(took[1:])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
