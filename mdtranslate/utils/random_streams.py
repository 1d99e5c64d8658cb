"""Random numbers that are a pure function of a seed and a name, on any device and inside compiled graphs.

A counter-based generator (Salmon et al. 2011, section 2): the n-th number of a stream is a hash of n. The hash is the
finalizer of SplitMix64 (Steele et al. 2014, figure 15). torch has no generator of this kind: its generators have a
state, belong to one device, and cannot be split by sample.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64
"""SplitMix64's increment, as int64."""


def uniform(seeds: Tensor, name: str, shape: tuple[int, ...] = ()) -> Tensor:
    """Draws uniform random numbers in [0, 1), in steps of 2^-24.

    Args:
        seeds: Seed of each sample, int64 `(B,)`, any values. The numbers of a sample depend on its seed alone.
        name: Name of the stream: different names give independent numbers.
        shape: Shape of the numbers of one sample. The first numbers of a larger shape are those of a smaller one.

    Returns:
        Numbers of shape `(B, *shape)`, float32.
    """
    counter = torch.arange(1, math.prod(shape) + 1, device=seeds.device)
    bits = _mix(_mix(seeds + _salt(name))[:, None] + counter * GOLDEN)
    return ((bits >> 40) & 0xFFFFFF).to(torch.float32).mul(2**-24).reshape(len(seeds), *shape)


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finalizer. int64 products wrap around; right shifts extend the sign bit, so they are masked."""
    bits = (bits ^ ((bits >> 30) & (2**34 - 1))) * (0xBF58476D1CE4E5B9 - 2**64)
    bits = (bits ^ ((bits >> 27) & (2**37 - 1))) * (0x94D049BB133111EB - 2**64)
    return bits ^ ((bits >> 31) & (2**33 - 1))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # Constant-folded into the graph.
def _salt(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)
