"""Creates timm networks with weights from a file or random weights; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from mdtranslate.errors import CheckpointError, nearest
from mdtranslate.utils.device import isolated_rng
from mdtranslate.utils.files import file_sha256
from mdtranslate.utils.state_dict import read_state_dict

HEADS = ("fc.", "head.", "classifier.")
"""Prefixes of the weights of classifiers."""


def create_timm_network(
    model: str, weights: Path | None, seed: int | None, image_size: int | None = None, **settings: Any
) -> Any:
    """Creates a timm network.

    Args:
        model: Name of the timm model.
        weights: Checkpoint file, of which all weights are loaded except a classifier of other classes; None for random
            weights.
        seed: Seed of random weights; None draws them from torch's current random state.
        image_size: Side of the images, for networks that are built for one size; None keeps their default.
        **settings: Further arguments of `timm.create_model`.

    Returns:
        The network.

    Raises:
        ValueError: The model is unknown or does not accept the settings.
        CheckpointError: The file does not fit the network.
    """
    import timm  # Imported here, since it takes a second or two and most commands do not need it.

    if not timm.is_model(model):
        raise ValueError(f"model: timm has no network {model!r}; {nearest(model, timm.list_models())}")
    if image_size is not None and timm.get_pretrained_cfg_value(model, "fixed_input_size"):
        settings["img_size"] = image_size
    with nullcontext() if seed is None else isolated_rng(seed):
        try:
            network = timm.create_model(model, pretrained=False, **settings)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            arguments = ", ".join(f"{name}={value}" for name, value in settings.items())
            reason = " ".join(str(error).split())
            raise ValueError(f"model: {model} cannot be created with {arguments}: {reason}") from None
    if weights is None:
        return network
    state, expected = _rename_weights(network, read_state_dict(weights)), network.state_dict()
    wrong = {key for key, value in expected.items() if key not in state or state[key].shape != value.shape}
    if required := sorted(key for key in wrong if not key.startswith(HEADS)):
        raise CheckpointError(f"{weights}: does not fit {model}: {required[0]} is missing or has another shape")
    network.load_state_dict({key: state[key] for key in expected if key not in wrong}, strict=False)
    return network


def _rename_weights(network: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames weights of a whole network to their names in its feature extractor (`features_only=True`).

    There timm puts `model.` before some names and calls the module `stages.0` of others `stages_0`.
    """
    renamed = dict(state)
    for key in network.state_dict():
        head, _, rest = key.partition(".")
        for original in (f"{'.'.join(head.rsplit('_', 1))}.{rest}", rest if head == "model" else key):
            if key not in renamed and original in state:
                renamed[key] = state[original]
    return renamed


def describe_weights(weights: Path | None) -> str:
    """Returns a text that identifies weights: equal texts mean equal weights."""
    return "random weights" if weights is None else f"weights sha256 {file_sha256(weights)[:16]}"
