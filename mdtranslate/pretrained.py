"""Networks of timm, with weights of a file or with random ones. Nothing is ever fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mdtranslate.errors import CheckpointError, RecipeError, nearest
from mdtranslate.files import sha256
from mdtranslate.published import read_state

HEADS = ("fc.", "head.", "classifier.")


def timm_network(model: str, weights: Path | None, seed: int | None, **more: Any) -> Any:
    """timm's `model`, made with the settings `more`. Random weights are drawn from `seed`; None: from torch's state.

    Of a file everything is taken but a classifier of other classes. Raises `RecipeError` for an unknown name or
    settings that the network does not have, `CheckpointError` for a file that does not fit it.
    """
    import timm  # Here, for it takes a second or two to import, and most commands make no such network.

    if not timm.is_model(model):
        raise RecipeError(f"model: timm has no network {model!r}; {nearest(model, timm.list_models())}")
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            network = timm.create_model(model, pretrained=False, **more)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            given = ", ".join(f"{name}={value}" for name, value in more.items())
            raise RecipeError(f"model: {model} cannot be made with {given}: {' '.join(str(error).split())}") from None
    if weights is None:
        return network
    state, own = read_state(weights), network.state_dict()
    wrong = {key for key, value in own.items() if key not in state or state[key].shape != value.shape}
    if strange := sorted(key for key in wrong if not key.startswith(HEADS)):
        raise CheckpointError(f"{weights}: has not the weights of {model}: {strange[0]}")
    network.load_state_dict({key: state[key] for key in own if key not in wrong}, strict=False)
    return network


def origin(weights: Path | None) -> str:
    """Where weights come from, in words: equal words, equal weights."""
    return "random weights" if weights is None else f"weights sha256 {sha256(weights)[:16]}"
