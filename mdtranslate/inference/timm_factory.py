"""Networks of timm, with weights of a file or with random ones. Nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from mdtranslate.errors import CheckpointError, nearest
from mdtranslate.inference.foreign import read_state
from mdtranslate.utils.device import isolated
from mdtranslate.utils.files import sha256

HEADS = ("fc.", "head.", "classifier.")


def timm_network(model: str, weights: Path | None, seed: int | None, image_size: int | None = None, **more: Any) -> Any:
    """timm's `model`, made with the settings `more`. Random weights are drawn from `seed`; None: from torch's state.

    `image_size`: side of its pictures, for networks that are made for one size; their own where it is left out.
    Of a file everything is taken but a classifier of other classes. Raises `ValueError` for an unknown name or settings
    that the network does not have, `CheckpointError` for a file that does not fit it.
    """
    import timm  # Here, for it takes a second or two to import, and most commands make no such network.

    if not timm.is_model(model):
        raise ValueError(f"model: timm has no network {model!r}; {nearest(model, timm.list_models())}")
    if image_size is not None and timm.get_pretrained_cfg_value(model, "fixed_input_size"):
        more["img_size"] = image_size
    with nullcontext() if seed is None else isolated(seed):
        try:
            network = timm.create_model(model, pretrained=False, **more)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            given = ", ".join(f"{name}={value}" for name, value in more.items())
            raise ValueError(f"model: {model} cannot be made with {given}: {' '.join(str(error).split())}") from None
    if weights is None:
        return network
    state, own = _as_in(network, read_state(weights)), network.state_dict()
    wrong = {key for key, value in own.items() if key not in state or state[key].shape != value.shape}
    if strange := sorted(key for key in wrong if not key.startswith(HEADS)):
        raise CheckpointError(f"{weights}: has not the weights of {model}: {strange[0]}")
    network.load_state_dict({key: state[key] for key in own if key not in wrong}, strict=False)
    return network


def _as_in(network: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a whole network, under the names that they have in one that gives its feature maps.

    There timm puts `model.` before some names, and calls the part `stages.0` of others `stages_0`.
    """
    found = dict(state)
    for key in network.state_dict():
        head, _, rest = key.partition(".")
        for whole in (f"{'.'.join(head.rsplit('_', 1))}.{rest}", rest if head == "model" else key):
            if key not in found and whole in state:
                found[key] = state[whole]
    return found


def origin(weights: Path | None) -> str:
    """Where weights come from, in words: equal words, equal weights."""
    return "random weights" if weights is None else f"weights sha256 {sha256(weights)[:16]}"
