"""Kills runs at random moments, goes on with them, and counts the bits that differ from a run that never stopped.

python benchmarks/kills.py --kills 20
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

STEPS = 20
TINY = [
    "datasets.avatars.train=24",
    "datasets.avatars.val=4",
    "datasets.avatars.test=8",
    "datasets.avatars.size=32",
    "data.image_size=32",
    "data.batch_size=4",
    "generator.channels=4",
    "generator.blocks=1",
    "discriminator.channels=4",
    "discriminator.layers=4",
    "train.critic_steps=2",
    "train.ema=0.9",
    "train.sample_pictures=2",
    "train.log_every=3",
    "train.save_every=5",
    "train.sample_every=20",
]


def command(out: str, steps: int = STEPS, workers: int = 0) -> list[str]:
    """The command line of a new tiny run."""
    settings = [f"train.steps={steps}", f"data.workers={workers}", *TINY]
    return [sys.executable, "-m", "mdtranslate", "run", "stargan", *settings, "--out", out]


def state(run: Path) -> dict[str, bytes]:
    """Everything of a run that must be the same whenever it is repeated: weights, averages, optimizers, log."""
    newest = max(each for each in (run / "checkpoints").iterdir() if each.name.isdecimal())
    kept = {"newest": newest.name.encode(), "log": (run / "log.jsonl").read_bytes()}
    for file in newest.glob("*.safetensors"):
        kept |= {f"{file.stem}/{key}": value.numpy().tobytes() for key, value in load_file(file).items()}
    return kept


def kill_and_go_on(home: Path, out: str, draw: random.Random) -> dict[str, bytes]:
    """A run that is killed once at a random moment after its first line of log, then finished: its state."""
    run = home / out
    process = subprocess.Popen(command(out, workers=draw.choice([0, 2])), cwd=home, stderr=subprocess.DEVNULL)
    lines = draw.randrange(1, STEPS // 3)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "log.jsonl").exists() and (run / "log.jsonl").read_text().count("\n") >= lines:
            break
        time.sleep(0.002)
    time.sleep(draw.random() * 0.4)
    process.kill()
    process.wait()
    subprocess.run(
        [sys.executable, "-m", "mdtranslate", "run", out], cwd=home, check=True, capture_output=True, timeout=240
    )
    return state(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(home / "cache")
        subprocess.run(command("whole"), cwd=home, check=True, capture_output=True)
        whole = state(home / "whole")
        different = 0
        for number in range(kills):
            after = kill_and_go_on(home, f"killed-{number}", draw)
            names = sorted(name for name in whole.keys() | after.keys() if whole.get(name) != after.get(name))
            different += bool(names)
            print(f"kill {number + 1}: {len(names)} of {len(whole)} entries differ {names[:3] or ''}", flush=True)
    print(f"{kills} kills, {different} runs that differ")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
