"""What a translator costs: parameters, size on disk, training time and memory, and its speed on this machine."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Final

import torch

from mdtranslate.config.run_folder import RunFolder
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.device import hardware
from mdtranslate.utils.files import read_lines

SPEED_BATCH: Final = 16
SPEED_ROUNDS: Final = 20


def cost(run: RunFolder, translator: Translator) -> dict[str, Any]:
    """Measures what a run cost, and how fast its translator is here.

    Args:
        run: The run. One that was pulled has no training log, so its training time and memory are None.
        translator: Its translator, on the device whose speed is of interest.

    Returns:
        `parameters` by network, `translator_bytes`, `training_seconds`, `peak_bytes` of memory in training,
        `images_per_second` and `measured_on`, the machine.
    """
    networks = translator.model.networks
    lines = read_lines(run.timing)
    # By step, because a run that was killed and resumed logs some steps twice.
    seconds = {line["step"]: line["seconds"] for line in lines if "seconds" in line}
    return {
        "parameters": {
            role: sum(param.numel() for param in network.parameters()) for role, network in networks.items()
        },
        "translator_bytes": sum(file.stat().st_size for file in run.translator.rglob("*") if file.is_file()),
        "training_seconds": round(sum(seconds.values()), 1) if seconds else None,
        "peak_bytes": max((line["peak_bytes"] for line in lines if "peak_bytes" in line), default=None),
        "images_per_second": round(speed(translator), 1),
        "measured_on": hardware(translator.device),
    }


def speed(translator: Translator) -> float:
    """Returns images per second: the median over 20 batches of 16 images, after one batch to warm up.

    Every image is edited, because a bank of networks has nothing to do for targets that equal the source.
    """
    label_encoder, size = translator.label_encoder, translator.image_size
    known = {attribute.name: attribute.allowed_values[0] for attribute in label_encoder.attributes[0]}
    edit = next(edit for edit in label_encoder.edits(known, 0))
    source, target = (label_encoder.encode(values, 0).repeat(SPEED_BATCH, 1) for values in (known, {**known, **edit}))
    real, seconds = torch.zeros(SPEED_BATCH, 3, size, size), list[float]()
    for _ in range(SPEED_ROUNDS + 1):
        start = time.perf_counter()
        translator.translate(real, source, target).cpu()
        seconds.append(time.perf_counter() - start)
    return SPEED_BATCH / median(seconds[1:])
