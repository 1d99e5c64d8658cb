"""Devices, numeric precision and backend settings of torch."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch

from mdtranslate.errors import RecipeError

Precision = Literal["fp32", "tf32", "bf16"]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # From glibc's malloc.h.


def pick_device(name: str, *, tune: bool = True) -> torch.device:
    """Returns the device that `--device` names.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        tune: Also change process-wide memory settings that make training on the CPU faster. A library should not do
            this to the process of its caller.

    Raises:
        RecipeError: This machine has no such device.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        name = next((candidate for candidate in ("cuda", "mps") if candidate in available), "cpu")
    if name not in available:
        raise RecipeError(f"device {name}: not available; this machine has {', '.join(available)} (or auto)")
    if name == "cpu" and tune:
        _keep_freed_memory()
    return torch.device(name)


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Context manager: new tensors are float32 on the CPU by default, whatever defaults the host program has set."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":  # Only if needed: a default device slows every operation.
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield


@contextmanager
def isolated_rng(seed: int | None = None) -> Iterator[None]:
    """Context manager for building networks: `plain_defaults`, and the CPU's random state is restored afterwards.

    Unlike `torch.manual_seed`, it does not reseed GPUs.

    Args:
        seed: Seed of the CPU's random numbers inside; None keeps the current random state.
    """
    with plain_defaults(), torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


def has_bf16_instructions() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself: AVX-512 BF16, which processors with AMX have, too.

    `torch.ops.mkldnn._is_mkldnn_bf16_supported` is also true for other AVX-512 processors, where bf16 is emulated.
    """
    return bool(torch.cpu._is_avx512_bf16_supported())


def pick_precision(
    requested: str, device: torch.device, *, recorded: str | None = None, setting: str = "train.precision"
) -> Precision:
    """Resolves a precision setting for a device.

    Args:
        requested: `fp32`, `tf32`, `bf16`, or `auto` for the recorded precision if the device has instructions for it,
            otherwise fp32.
        device: The device.
        recorded: What `auto` was resolved to before; None for the first time, which prefers bf16.
        setting: Name of the setting, for messages.

    Raises:
        RecipeError: The value is unknown or the device does not support it.
    """
    if requested == "auto":
        preferred = recorded or "bf16"
        requested = preferred if _has_instructions(preferred, device) else "fp32"
    if requested == "tf32" and device.type != "cuda":
        raise RecipeError(f"{setting}=tf32: requires an NVIDIA GPU, and the device is {device.type}; use fp32 or bf16")
    for precision in get_args(Precision):
        if precision == requested:
            return cast(Precision, precision)
    raise RecipeError(f"{setting}={requested}: is {', '.join(get_args(Precision))}, or auto")


def precision_warning(precision: Precision, device: torch.device) -> str | None:
    """Returns a warning if a precision is slower than float32: bf16 on a CPU without bf16 instructions."""
    if precision != "bf16" or device.type != "cpu" or has_bf16_instructions():
        return None
    return "bf16 is slower than fp32 here: this processor has no instructions for it"


def _has_instructions(precision: str, device: torch.device) -> bool:
    if precision == "bf16" and device.type == "cpu":
        return has_bf16_instructions()
    if precision == "bf16" and device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return precision == "tf32" and device.type == "cuda"


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Context manager: enables TF32 for float32 products on NVIDIA GPUs, and restores the previous setting.

    With bf16, the operations that stay in float32 (gradient penalties) use TF32, whose mantissa is three bits longer
    than that of bfloat16.

    Args:
        precision: TF32 is enabled unless it is `fp32`.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    previous = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = previous


@contextmanager
def training_numerics(precision: Precision, *, deterministic: bool) -> Iterator[None]:
    """Context manager for training steps of one batch size: `matmul_precision` plus cuDNN and determinism settings.

    All previous settings are restored.

    Args:
        precision: As for `matmul_precision`.
        deterministic: Forbid operations whose results vary from run to run. Otherwise cuDNN benchmarks its algorithms
            and uses the fastest.

    Raises:
        RecipeError: An operation has no deterministic implementation; the message names it.
    """
    cudnn = torch.backends.cudnn
    previous = cudnn.benchmark, cudnn.deterministic
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    was_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    if deterministic:
        torch.use_deterministic_algorithms(True)
    try:
        with matmul_precision(precision):
            yield
    except RuntimeError as error:
        if deterministic and "deterministic" in str(error):
            operation = str(error).partition(", but")[0]
            raise RecipeError(
                f"train.deterministic=true: {operation}: choose another component, or remove the setting"
            ) from None
        raise
    finally:
        cudnn.benchmark, cudnn.deterministic = previous
        torch.use_deterministic_algorithms(was_deterministic, warn_only=was_warn_only)


def prepare_deterministic() -> None:
    """Makes cuBLAS deterministic. Call it before the first computation on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def memory_format(device: torch.device, precision: Precision = "fp32") -> torch.memory_format:
    """Returns the memory format of images on a device: channels last on NVIDIA GPUs and for bf16 on CPUs.

    Convolutions return the format of their input, so that activations have it, too. In float32 on CPUs, channels last
    is no faster (docs/figures.md), and weights in it are slower. On Apple GPUs some operations return wrong results in
    channels last (pytorch issue 107214).

    Args:
        device: The device.
        precision: Arithmetic of the networks.
    """
    is_faster = device.type == "cuda" or (device.type == "cpu" and precision == "bf16")
    return torch.channels_last if is_faster else torch.contiguous_format


def describe_device(device: torch.device) -> str:
    """Returns a readable description of a device, such as `cpu (8 threads)`."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def hardware(device: torch.device) -> dict[str, Any]:
    """Returns the facts about the machine on which a measured speed depends, for JSON files."""
    known: dict[str, Any] = {
        "device": describe_device(device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        known |= {"gpu_memory_bytes": torch.cuda.get_device_properties(device).total_memory, "cuda": torch.version.cuda}
    return known


def _processor() -> str:
    """Returns the name of the processor; on Linux `platform` does not know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _keep_freed_memory() -> None:
    """Makes glibc keep freed memory, since each training step frees and maps hundreds of megabytes."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
