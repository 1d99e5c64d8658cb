"""Reads PyTorch checkpoint files of other programs without running anything in them."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

from mdtranslate.errors import CheckpointError


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """Reads a state dict that `torch.save` wrote; no code in the file is run.

    Args:
        file: The checkpoint file.

    Returns:
        The tensors by parameter name, on the CPU. All values are finite.

    Raises:
        CheckpointError: The file is missing or damaged, or is not a state dict of plain, finite tensors. The message
            names the file.
    """
    try:
        # torch warns about pickle protocols, which do not matter here: real problems are raised below.
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{file}: holds more than weights, or is damaged; it was not loaded, because it could run code"
        ) from None
    except Exception as error:  # torch.load raises anything on damaged files.
        raise CheckpointError(f"{file}: cannot be read as a PyTorch checkpoint: {_first_line(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{file}: is not a state dict (tensors by name)")
    for name, value in state.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            raise CheckpointError(f"{file}: {name} is not a plain tensor of numbers")
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{file}: {name} holds non-finite numbers")
    return {str(name): value for name, value in state.items()}


def _first_line(error: Exception) -> str:
    """Returns the first sentence of torch's message, unless the message says nothing useful about the file."""
    informative = isinstance(error, RuntimeError | OSError | EOFError)
    lines = str(error).strip().splitlines() if informative else []
    return lines[0].partition(". ")[0] if lines and "enforce fail" not in lines[0] else "the file is not a checkpoint"
