"""The device that a command works on, and how a processor is made to work well."""

from __future__ import annotations

import ctypes
import platform
import sys

import torch

from mdtranslate.errors import RecipeError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # From glibc's malloc.h.


def pick_device(name: str) -> torch.device:
    """The device that `--device` means: auto, cpu, cuda, cuda:1, mps. Raises `RecipeError` where it is not there."""
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        name = next((each for each in ("cuda", "mps") if each in available), "cpu")
    if name not in available:
        raise RecipeError(f"--device {name}: this machine has {', '.join(available)} (or auto)")
    if name == "cpu":
        _keep_pages()
    return torch.device(name)


def describe(device: torch.device) -> str:
    """The device in words, for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def _keep_pages() -> None:
    """Tells glibc to keep freed memory: a training step frees and maps hundreds of megabytes again and again."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
