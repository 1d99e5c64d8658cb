"""Measures how much faster a cycle of training is than the published step: ratios, interleaved in one run.

python benchmarks/speed/step.py --sizes 64 128 --batches 8 16

A cycle is five updates of the discriminator and one of the generator. Gradients are compared before anything is timed.
The published step uses PyTorch's defaults: float32, on NVIDIA GPUs with cuDNN's TF32. `--published PATH` also times the
networks of a checkout of the released code in that step; `--variant SETTING` also times mdtranslate with a setting such
as `train.compile=true`. Ratios are medians over rounds in which all variants take turns, printed with their range.
Memory is the peak of a cycle above the memory before it, in a process of its own. Warm-up is what the first cycle takes
longer than the others.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from published_step import Discriminator, Generator, PublishedModel
from torch import Tensor, nn

from mdtranslate.api import Attribute
from mdtranslate.api.batch import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.data.batches import normalise
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils.device import (
    describe_device,
    hardware,
    has_bf16_instructions,
    matmul_precision,
    pick_device,
)
from mdtranslate.utils.files import write_json
from mdtranslate.utils.process import peak_memory
from mdtranslate.utils.random_streams import uniform

LABELS = 5
ATTRIBUTES = {"celeba": tuple(Attribute(f"a{number}") for number in range(LABELS))}
CRITIC_STEPS = 5
PUBLISHED = "published"
TOLERANCE = 1e-4
"""Relative difference of gradients up to which two steps count as the same."""


def create_trainer(size: int, batch_size: int, device: torch.device, *overrides: str) -> Trainer:
    """Creates mdtranslate's trainer with the settings of the released code."""
    sizes = [f"data.image_size={size}", f"data.batch_size={batch_size}"]
    recipe = resolve("stargan-celeba-released", [*sizes, *overrides]).recipe
    model = Model.build(
        recipe.label_encoder, recipe.generator, recipe.discriminator, attributes=ATTRIBUTES, image_size=size
    )
    losses = {
        name: choice.build(label_encoder=model.label_encoder, image_size=size) for name, choice in recipe.losses.items()
    }
    return Trainer(recipe, model.to(device), losses, device)


def create_published(model: Model, size: int, device: torch.device, checkout: Path | None = None) -> PublishedModel:
    """Creates the published model with the weights of `model`.

    Args:
        model: The model whose weights are copied.
        size: Image size in pixels.
        device: Device of the networks.
        checkout: Checkout of the released code, whose networks are used instead of those of `published_step`.
    """
    if checkout is None:
        generator, discriminator = Generator(LABELS), Discriminator(size, LABELS)
    else:
        spec = importlib.util.spec_from_file_location("released_model", checkout / "model.py")
        assert spec is not None and spec.loader is not None, f"{checkout}/model.py is not a Python file"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        generator, discriminator = module.Generator(64, LABELS, 6), module.Discriminator(size, 64, LABELS, 6)
    for network, copy in ((model.generator, generator), (model.discriminator, discriminator)):
        assert network is not None
        weights = {key: value for key, value in network.state_dict().items() if key in copy.state_dict()}
        _, unexpected = copy.load_state_dict(weights, strict=False)
        if unexpected or len(weights) < len(list(copy.parameters())):
            raise SystemExit(f"the networks of {checkout or 'published_step.py'} are not those of the paper")
    return PublishedModel(generator.to(device), discriminator.to(device))


def create_batches(
    size: int, batch_size: int, device: torch.device, model: Model
) -> list[tuple[Batch, Tensor, Tensor]]:
    """Creates the random batches of a cycle, each with binary source and target labels `(B, 5)`."""
    rng, batches = torch.Generator().manual_seed(0), []
    for _ in range(CRITIC_STEPS):
        pixels = torch.randint(0, 256, (batch_size, size, size, 3), generator=rng, dtype=torch.uint8)
        source, target = (torch.randint(0, 2, (batch_size, LABELS), generator=rng) for _ in range(2))
        source_label, target_label = (_encode(labels, model).to(device) for labels in (source, target))
        seeds = torch.randint(2**62, (batch_size,), generator=rng).to(device)
        batch = Batch(normalise(pixels.to(device)), source_label, target_label, seeds)
        batches.append((batch, source.float().to(device), target.float().to(device)))
    return batches


def _encode(binary_labels: Tensor, model: Model) -> Tensor:
    """Encodes binary labels `(B, 5)` by the label encoder."""
    rows = binary_labels.tolist()
    values = [{f"a{index}": bool(value) for index, value in enumerate(row)} for row in rows]
    return torch.stack([model.label_encoder.encode(attributes, 0) for attributes in values])


class NotCompiledError(Exception):
    """A step that should have been compiled ran without; its figures would be misleading."""


def interpolation_weights(batch: Batch) -> Tensor:
    """Returns the weights of the real images in the interpolations of the loss `wgan-gp`, `(B,)`."""
    return uniform(batch.seeds, "wgan-gp/mix").to(batch.real)


def compare_gradients(size: int, device: torch.device, *overrides: str) -> dict[str, float]:
    """Returns the largest relative differences of gradients between mdtranslate's and the published step.

    In float64 over a whole cycle, in float32 for its first update only: Adam amplifies rounding where gradients are
    near zero, so weights diverge after that.
    """
    differences = {}
    for dtype, is_double in (("float32", False), ("float64", True)):
        if is_double and device.type == "mps":
            continue
        trainer = create_trainer(size, 2, device, *overrides)
        published = create_published(trainer.model, size, device)
        if is_double:
            for network in (*trainer.networks.values(), published.generator, published.discriminator):
                network.double()
        batches = create_batches(size, 2, device, trainer.model)
        by_update = []
        for step, (batch, source, target) in enumerate(batches if is_double else batches[:1]):
            if is_double:
                batch = Batch(batch.real.double(), batch.source, batch.target, batch.seeds)
            source, target = source.to(batch.real), target.to(batch.real)
            trainer.train_step(step, batch)
            with matmul_precision("fp32"):
                published.update_discriminator(batch.real, source, target, interpolation_weights(batch))
            by_update.append(_gradient_difference(trainer.discriminator, published.discriminator))
        if is_double:
            with matmul_precision("fp32"):
                published.update_generator(batch.real, source, target)
            differences[f"{dtype} generator"] = _gradient_difference(trainer.model.generator, published.generator)
        differences[f"{dtype} discriminator"] = max(by_update)
    return differences


def _gradient_difference(network: nn.Module, reference: nn.Module) -> float:
    differences = []
    for param, reference_param in zip(network.parameters(), reference.parameters(), strict=True):
        assert param.grad is not None and reference_param.grad is not None, "every parameter is trained in both"
        differences.append(((param.grad - reference_param.grad).norm() / reference_param.grad.norm()).item())
    return max(differences)


def create_cycles(
    size: int, batch_size: int, device: torch.device, checkout: Path | None, variants: Mapping[str, Sequence[str]]
) -> dict[str, Callable[[], None]]:
    """Returns functions that run one cycle each: of the published step, and of mdtranslate with each variant.

    Args:
        size: Image size in pixels.
        batch_size: Images per step.
        device: Device of the training.
        checkout: Checkout of the released code, or None.
        variants: Overrides of the recipe, by name.
    """
    trainers = {name: create_trainer(size, batch_size, device, *overrides) for name, overrides in variants.items()}
    for trainer in trainers.values():
        trainer.say = print
    first = next(iter(trainers.values()), None) or create_trainer(size, batch_size, device)
    batches = create_batches(size, batch_size, device, first.model)
    models = {PUBLISHED: create_published(first.model, size, device)}
    if checkout is not None:
        models["released networks"] = create_published(first.model, size, device, checkout)
    # The released code has its images in channels-first memory format.
    inputs = [
        (batch.real.contiguous(), source, target, interpolation_weights(batch)) for batch, source, target in batches
    ]

    def run_published(model: PublishedModel) -> None:
        for real, source, target, mix in inputs:
            model.update_discriminator(real, source, target, mix)
        model.update_generator(real, source, target)

    def run_trainer(trainer: Trainer) -> None:
        for step, (batch, _, _) in enumerate(batches):
            trainer.train_step(step, batch)
        setting, compiled = trainer.recipe.train.compile, trainer.compiled
        if setting and (compiled is None or compiled.use_cuda_graphs != (setting == "graphs")):
            raise NotCompiledError

    cycles: dict[str, Callable[[], None]] = {name: partial(run_published, model) for name, model in models.items()}
    return cycles | {name: partial(run_trainer, trainer) for name, trainer in trainers.items()}


def measure(cycles: Mapping[str, Callable[[], None]], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Measures the seconds of each cycle, the first of which is warm-up; leaves out variants that were not compiled."""
    seconds: dict[str, list[float]] = {name: [] for name in cycles}
    for _ in range(rounds + 1):
        for name in list(seconds):
            start = time.perf_counter()
            try:
                cycles[name]()
            except NotCompiledError:
                print(f"{name}: left out, because it was not compiled")
                del seconds[name]
                continue
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def speed_ups(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Returns by variant the ratio to the published step of the same round, the seconds of a cycle and the warm-up."""
    rows = {}
    for name, (first, *cycles) in seconds.items():
        ratios = [base / cycle for base, cycle in zip(seconds[PUBLISHED][1:], cycles, strict=True)]
        typical = median(cycles)
        row = {"ratio": median(ratios), "min": min(ratios), "max": max(ratios), "seconds": typical}
        rows[name] = {**row, "warm-up": max(0.0, first - typical)}
    return rows


def measure_memory(size: int, batch_size: int, device: str, name: str, variants: Mapping[str, Sequence[str]]) -> int:
    """Measures the peak memory of a cycle above the memory before it, in bytes, in a process that does nothing else."""
    torch_device = pick_device(device)
    cycle = create_cycles(size, batch_size, torch_device, None, variants)[name]
    before = peak_memory(torch_device)["peak_bytes"]
    cycle()
    return peak_memory(torch_device)["peak_bytes"] - before


def main() -> None:
    """Prints the machine, the differences of gradients and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="image sizes in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16], help="images per batch, one for each size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", help="fp32, tf32, bf16; those of the device if left out")
    parser.add_argument("--variant", action="append", default=[], metavar="SETTING", help="also time with this setting")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory, which needs more processes")
    parser.add_argument("--published", type=Path, help="checkout of the released code, whose networks are timed, too")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    if len(options.sizes) != len(options.batches):
        parser.error("--batches needs as many values as --sizes")
    device = pick_device(options.device)
    print(describe_device(device), hardware(device)["processor"], f"torch {torch.__version__}")
    on_cpu = ["fp32", "bf16"] if has_bf16_instructions() else ["fp32"]
    precisions = options.precisions or (["fp32", "tf32", "bf16"] if device.type == "cuda" else on_cpu)
    base = {name: [f"train.precision={name}"] for name in precisions}
    extra = {f"{name} {setting}": [*base[name], setting] for name in base for setting in options.variant}
    variants = base | extra
    width = max(map(len, ("released networks", *variants)))
    results: dict[str, Any] = {"machine": hardware(device), "torch": torch.__version__, "differences": {}, "cycles": {}}
    for size, batch_size in zip(options.sizes, options.batches, strict=True):
        differences = results["differences"][size] = compare_gradients(size, device, "train.precision=fp32")
        print(
            f"\n{size} pixels: gradients differ by", ", ".join(f"{n} {value:.1e}" for n, value in differences.items())
        )
        if max(differences.values()) > TOLERANCE:
            raise SystemExit(f"gradients differ by more than {TOLERANCE:.0e}, so the two steps cannot be compared")
        cycles = create_cycles(size, batch_size, device, options.published, variants)
        rows = speed_ups(measure(cycles, device, options.rounds))
        for name in () if options.no_memory else (name for name in (PUBLISHED, *variants) if name in rows):
            variant = {name: variants[name]} if name in variants else {}
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                memory = pool.submit(measure_memory, size, batch_size, options.device, name, variant)
                rows[name]["bytes"] = memory.result()
        results["cycles"][f"{size} px, batch {batch_size}"] = rows
        print(f"{size} pixels, batches of {batch_size}, {options.rounds} rounds")
        for name, row in rows.items():
            print(
                f"  {name:{width}} {row['ratio']:5.2f} x ({row['min']:.2f} to {row['max']:.2f})  "
                f"{row['seconds']:8.3f} s per cycle  {CRITIC_STEPS * batch_size / row['seconds']:8.1f} images/s  "
                f"{row['warm-up']:5.1f} s warm-up" + (f"  {row['bytes'] / 2**30:6.2f} GiB" if "bytes" in row else "")
            )
    if options.out:
        write_json(options.out, results)
        print(options.out)


if __name__ == "__main__":
    main()
