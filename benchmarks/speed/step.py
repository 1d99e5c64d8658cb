"""How much faster a cycle of training is than the published step: ratios, interleaved in one run.

python benchmarks/speed/step.py --sizes 64 128 --batches 8 16

A cycle is five updates of the discriminator and one of the generator. Before anything is timed, gradients are
compared. The published step computes as torch does by default: in float32, on NVIDIA's GPUs with cuDNN's TF32.
`--published PATH` times the networks of a checkout of the released code too, in the same step; `--try SETTING` ours
with a setting more, such as `train.compile=true`. Ratios are medians over rounds in which all take turns; the machine's
noise is in their spread, which is printed. Memory is what a cycle takes at most beside what was there before it, in a
process of its own. What the first cycle takes longer than the others is warm-up.
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
from torch import Tensor, nn
from yardstick import Discriminator, Generator, Published

from mdtranslate.api import Attribute
from mdtranslate.api.translation import Batch
from mdtranslate.config.model_bundle import Model
from mdtranslate.config.recipes import resolve
from mdtranslate.data.batches import normalise
from mdtranslate.training.trainer import Trainer
from mdtranslate.utils.device import arithmetic, describe, hardware, pick_device
from mdtranslate.utils.files import write_json
from mdtranslate.utils.process import peak_memory
from mdtranslate.utils.random_streams import uniform

LABELS = 5
ATTRIBUTES = {"celeba": tuple(Attribute(f"a{number}") for number in range(LABELS))}
CRITIC = 5
PUBLISHED = "published"
SAME = 1e-4
"""Relative difference of gradients up to which two steps are the same one."""


def ours(size: int, batch: int, device: torch.device, *settings: str) -> Trainer:
    """mdtranslate's step with the released code's settings."""
    sizes = [f"data.image_size={size}", f"data.batch_size={batch}"]
    recipe = resolve("stargan-celeba-released", [*sizes, *settings]).recipe
    model = Model.build(recipe.encoder, recipe.generator, recipe.discriminator, attributes=ATTRIBUTES, image_size=size)
    losses = {name: each.build(encoder=model.encoder, image_size=size) for name, each in recipe.losses.items()}
    return Trainer(recipe, model.to(device), losses, device)


def published(model: Model, size: int, device: torch.device, checkout: Path | None = None) -> Published:
    """The yardstick with the weights of `model`; with the networks of the released code where a checkout is given."""
    if checkout is None:
        generator, discriminator = Generator(LABELS), Discriminator(size, LABELS)
    else:
        spec = importlib.util.spec_from_file_location("released_model", checkout / "model.py")
        assert spec is not None and spec.loader is not None, f"{checkout}/model.py is no Python file"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        generator, discriminator = module.Generator(64, LABELS, 6), module.Discriminator(size, 64, LABELS, 6)
    for own, theirs in ((model.generator, generator), (model.discriminator, discriminator)):
        assert own is not None
        weights = {key: value for key, value in own.state_dict().items() if key in theirs.state_dict()}
        _, strange = theirs.load_state_dict(weights, strict=False)
        if strange or len(weights) < len(list(theirs.parameters())):
            raise SystemExit(f"the networks of {checkout or 'the yardstick'} are not those of the paper")
    return Published(generator.to(device), discriminator.to(device))


def batches(size: int, count: int, device: torch.device, model: Model) -> list[tuple[Batch, Tensor, Tensor]]:
    """A cycle's batches, with the yes/no labels [B, 5] that the yardstick takes."""
    draw, found = torch.Generator().manual_seed(0), []
    for _ in range(CRITIC):
        pixels = torch.randint(0, 256, (count, size, size, 3), generator=draw, dtype=torch.uint8)
        source, target = (torch.randint(0, 2, (count, LABELS), generator=draw) for _ in range(2))
        labels = [
            torch.stack(
                [
                    model.encoder.encode({f"a{n}": bool(value) for n, value in enumerate(row)}, 0)
                    for row in given.tolist()
                ]
            ).to(device)
            for given in (source, target)
        ]
        seeds = torch.randint(2**62, (count,), generator=draw).to(device)
        batch = Batch(normalise(pixels.to(device)), *labels, seeds)
        found.append((batch, source.float().to(device), target.float().to(device)))
    return found


class NotCompiled(Exception):
    """What was to be compiled went on without: its figures would be those of something else."""


def mixing(batch: Batch) -> Tensor:
    """The proportions of real and fake in which the loss `wgan-gp` mixes a batch, [B]."""
    return uniform(batch.seeds, "wgan-gp/mix").to(batch.real)


def as_double(batch: Batch) -> Batch:
    """For a comparison that rounding does not blur."""
    return Batch(batch.real.double(), batch.source, batch.target, batch.seeds)


def differences(size: int, device: torch.device, *settings: str) -> dict[str, float]:
    """The largest relative difference of a gradient, of a whole cycle in float64 and of its first update in float32."""
    found = {}
    for name, double in (("float32", False), ("float64", True)):
        if double and device.type == "mps":
            continue
        mine = ours(size, 2, device, *settings)
        theirs = published(mine.model, size, device)
        if double:
            for network in (*mine.networks.values(), theirs.generator, theirs.discriminator):
                network.double()
        updates = []
        for step, (batch, source, target) in enumerate(batches(size, 2, device, mine.model)):
            batch = as_double(batch) if double else batch
            source, target = (each.to(batch.real) for each in (source, target))
            mine.step(step, batch)
            with arithmetic("fp32"):
                theirs.update_discriminator(batch.real, source, target, mixing(batch))
            updates.append(_difference(mine.discriminator, theirs.discriminator))
            if not double:
                break  # Adam makes much of rounding where gradients are near zero: weights part from here on.
        else:
            with arithmetic("fp32"):
                theirs.update_generator(batch.real, source, target)
            found[f"{name} generator"] = _difference(mine.model.generator, theirs.generator)
        found[f"{name} discriminator"] = max(updates)
    return found


def _difference(mine: nn.Module, theirs: nn.Module) -> float:
    found = []
    for own, their in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert own.grad is not None and their.grad is not None, "every weight learns in both"
        found.append(((own.grad - their.grad).norm() / their.grad.norm()).item())
    return max(found)


def cycles(
    size: int, count: int, device: torch.device, checkout: Path | None, variants: Mapping[str, Sequence[str]]
) -> dict[str, Callable[[], None]]:
    """A cycle of each of those that take turns: the published step, and ours with each variant's settings."""
    trainers = {name: ours(size, count, device, *settings) for name, settings in variants.items()}
    for trainer in trainers.values():
        trainer.say = print
    first = next(iter(trainers.values()), None) or ours(size, count, device)
    given = batches(size, count, device, first.model)
    plain = {PUBLISHED: published(first.model, size, device)}
    if checkout is not None:
        plain["released networks"] = published(first.model, size, device, checkout)
    # The yardstick's pictures lie as released: channels first.
    loose = [(batch.real.contiguous(), source, target, mixing(batch)) for batch, source, target in given]

    def theirs(one: Published) -> None:
        for real, source, target, mix in loose:
            one.update_discriminator(real, source, target, mix)
        one.update_generator(real, source, target)

    def mine(one: Trainer) -> None:
        for step, (batch, _, _) in enumerate(given):
            one.step(step, batch)
        wanted = one.recipe.train.compile
        if wanted and (one.graphs is None or one.graphs.replay != (wanted == "graphs")):
            raise NotCompiled

    work: dict[str, Callable[[], None]] = {name: partial(theirs, one) for name, one in plain.items()}
    return work | {name: partial(mine, one) for name, one in trainers.items()}


def measure(work: Mapping[str, Callable[[], None]], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Seconds of each cycle, the first of which warms up; none of those that were to be compiled and were not."""
    took: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name in list(took):
            began = time.perf_counter()
            try:
                work[name]()
            except NotCompiled:
                print(f"{name}: left out, it was not compiled")
                del took[name]
                continue
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            took[name].append(time.perf_counter() - began)
    return took


def ratios(took: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """To the published step of the same round: median, least and most; seconds of a cycle, and those of warm-up."""
    found = {}
    for name, (first, *seconds) in took.items():
        each = [theirs / own for theirs, own in zip(took[PUBLISHED][1:], seconds, strict=True)]
        usual = median(seconds)
        row = {"ratio": median(each), "least": min(each), "most": max(each), "seconds": usual}
        found[name] = {**row, "warm-up": max(0.0, first - usual)}
    return found


def memory(size: int, count: int, device: str, name: str, variants: Mapping[str, Sequence[str]]) -> int:
    """Bytes that a cycle takes at most beside what was there before it; in a process that does nothing else."""
    where = pick_device(device)
    work = cycles(size, count, where, None, variants)[name]
    before = peak_memory(where)["peak_bytes"]
    work()
    return peak_memory(where)["peak_bytes"] - before


def main() -> None:
    """Prints the machine, the differences and a table, and writes JSON where it is told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="sides of the pictures")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16], help="pictures in a batch, one per size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", help="fp32, tf32, bf16; those of the device if left out")
    parser.add_argument("--try", action="append", default=[], dest="tried", metavar="SETTING", help="ours with it, too")
    parser.add_argument("--no-memory", action="store_true", help="leave out the column of memory, a process for each")
    parser.add_argument("--published", type=Path, help="a checkout of the released code, whose networks are timed too")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    if len(given.sizes) != len(given.batches):
        parser.error("--batches: as many as --sizes")
    device = pick_device(given.device)
    print(describe(device), hardware(device)["processor"], f"torch {torch.__version__}")
    precisions = given.precisions or (["fp32", "tf32", "bf16"] if device.type == "cuda" else ["fp32"])
    variants = {name: [f"train.precision={name}"] for name in precisions}
    variants |= {f"{name} {more}": [*own, more] for name, own in variants.items() for more in given.tried}
    wide = max(map(len, ("released networks", *variants)))
    found: dict[str, Any] = {"machine": hardware(device), "torch": torch.__version__, "differences": {}, "cycles": {}}
    for size, count in zip(given.sizes, given.batches, strict=True):
        apart = found["differences"][size] = differences(size, device, "train.precision=fp32")
        print(f"\n{size} pixels: gradients differ by", ", ".join(f"{n} {each:.1e}" for n, each in apart.items()))
        if max(apart.values()) > SAME:
            raise SystemExit(f"that is more than {SAME:.0e}: the two are not the same step, so no ratio is one")
        rows = ratios(measure(cycles(size, count, device, given.published, variants), device, given.rounds))
        for name in () if given.no_memory else (name for name in (PUBLISHED, *variants) if name in rows):
            own = {name: variants[name]} if name in variants else {}
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                rows[name]["bytes"] = alone.submit(memory, size, count, given.device, name, own).result()
        found["cycles"][f"{size} px, batch {count}"] = rows
        print(f"{size} pixels, batches of {count}, {given.rounds} rounds")
        for name, row in rows.items():
            pictures = CRITIC * count / row["seconds"]
            print(
                f"  {name:{wide}} {row['ratio']:5.2f} times ({row['least']:.2f} to {row['most']:.2f})  "
                f"{row['seconds']:8.3f} s a cycle  {pictures:8.1f} pictures/s  {row['warm-up']:5.1f} s warm-up"
                + (f"  {row['bytes'] / 2**30:6.2f} GiB" if "bytes" in row else "")
            )
    if given.out:
        write_json(given.out, found)
        print(given.out)


if __name__ == "__main__":
    main()
