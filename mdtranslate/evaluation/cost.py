"""What a translator costs: weights, bytes, time to train, pictures per second. Speed is that of the machine at hand."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Final

import torch

from mdtranslate.config.run_dir import RunFolder
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.device import hardware
from mdtranslate.utils.files import read_lines

AT_ONCE: Final = 16
ROUNDS: Final = 20


def cost(run: RunFolder, translator: Translator) -> dict[str, Any]:
    """Measures a run, and its translator on batches of 16 at the size of training."""
    networks = translator.model.networks
    lines = read_lines(run.timing)
    took = {line["step"]: line["seconds"] for line in lines if "seconds" in line}  # After a kill steps are there twice.
    return {
        "parameters": {role: sum(each.numel() for each in one.parameters()) for role, one in networks.items()},
        "translator_bytes": sum(file.stat().st_size for file in run.translator.rglob("*") if file.is_file()),
        "training_seconds": round(sum(took.values()), 1) if took else None,  # Of a pulled model nobody knows.
        "peak_bytes": max((line["peak_bytes"] for line in lines if "peak_bytes" in line), default=None),
        "pictures_per_second": round(speed(translator), 1),
        "measured_on": hardware(translator.device),
    }


def speed(translator: Translator) -> float:
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
