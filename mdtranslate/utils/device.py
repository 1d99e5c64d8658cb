"""The device that a command works on, and how a processor is made to work well."""

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
    """The device that `--device` means: auto, cpu, cuda, cuda:1, mps. Raises `RecipeError` where it is not there.

    `tune`: makes the process work well on it, which is not for a library to do to somebody else's.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        name = next((each for each in ("cuda", "mps") if each in available), "cpu")
    if name not in available:
        raise RecipeError(f"device {name}: this machine has {', '.join(available)} (or auto)")
    if name == "cpu" and tune:
        _keep_pages()
    return torch.device(name)


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Tensors are float32 on the CPU unless something else is said, whatever the host program has set."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":  # Only then: it slows every operation down.
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """For building networks: `plain_defaults`, and the host's random numbers stay what they were.

    Inside, those of the CPU are drawn from `seed` (None: from where they stand). `torch.manual_seed` would reseed GPUs,
    too; this leaves them alone.
    """
    with plain_defaults(), torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


def pick_precision(wanted: str, device: torch.device, *, of: str = "train.precision") -> Precision:
    """The arithmetic that a setting, `of`, means on a device. Raises `RecipeError` where the device has it not."""
    if wanted == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if fast else "fp32"
    if wanted == "tf32" and device.type != "cuda":
        raise RecipeError(f"{of}=tf32: is of NVIDIA's GPUs, and this is {device.type}; fp32 or bf16 is right")
    for each in get_args(Precision):
        if each == wanted:
            return cast(Precision, each)
    raise RecipeError(f"{of}={wanted}: is {', '.join(get_args(Precision))}, or auto")


def slow(precision: Precision, device: torch.device) -> str | None:
    """A line where a precision is slower than float32: bf16 on a processor without instructions for it."""
    if precision != "bf16" or device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return "bf16 is slower than fp32 here: this processor has no instructions for it"


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Products of float32 on NVIDIA's GPUs by TF32 or not, as `precision` says; afterwards as before.

    With bf16, what stays in float32 (penalties) is computed in TF32, which keeps three bits more than bfloat16 does.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def training_arithmetic(precision: Precision, *, deterministic: bool) -> Iterator[None]:
    """As `arithmetic`, for steps on batches of one size; afterwards as before.

    cuDNN tries which of its algorithms is the fastest. With `deterministic` it does not, and operations whose results
    vary from run to run are refused: raises `RecipeError` that names the first.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    if deterministic:
        torch.use_deterministic_algorithms(True)
    try:
        with arithmetic(precision):
            yield
    except RuntimeError as error:
        if deterministic and "deterministic" in str(error):
            what = str(error).partition(", but")[0]
            raise RecipeError(f"train.deterministic=true: {what}: choose another component, or leave it out") from None
        raise
    finally:
        cudnn.benchmark, cudnn.deterministic = before
        torch.use_deterministic_algorithms(strict, warn_only=warns)


def prepare_deterministic() -> None:
    """Makes cuBLAS sum in one order; to be called before anything is computed on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def layout(device: torch.device) -> torch.memory_format:
    """How pictures lie in memory: channels last on NVIDIA's GPUs, channels first elsewhere.

    On processors group normalisation runs back several times slower over channels last, and slower still over a
    mixture; on Apple's GPUs some operations are wrong over it (pytorch issue 107214).
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def describe(device: torch.device) -> str:
    """The device in words, for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def hardware(device: torch.device) -> dict[str, Any]:
    """What a figure of speed depends on, for the record."""
    known: dict[str, Any] = {
        "device": describe(device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        known |= {"gpu_memory_bytes": torch.cuda.get_device_properties(device).total_memory, "cuda": torch.version.cuda}
    return known


def _processor() -> str:
    """The processor's name; Linux, unlike others, does not tell it to `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _keep_pages() -> None:
    """Tells glibc to keep freed memory: a training step frees and maps hundreds of megabytes again and again."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
