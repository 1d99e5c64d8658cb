"""Kills runs at random moments, resumes them, and compares them bit by bit with a run that was not interrupted.

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
OVERRIDES = [
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
    "train.sample_images=2",
    "train.log_every=3",
    "train.save_every=5",
    "train.sample_every=20",
]


def run_command(out: str, steps: int = STEPS, workers: int = 0) -> list[str]:
    """Returns the command line of a new run of a few seconds."""
    settings = [f"train.steps={steps}", f"data.workers={workers}", *OVERRIDES]
    return [sys.executable, "-m", "mdtranslate", "run", "stargan", *settings, "--out", out]


def read_state(run: Path) -> dict[str, bytes]:
    """Returns everything that must be equal in repeated runs: weights, averages, optimizer states and the log."""
    newest = max(folder for folder in (run / "checkpoints").iterdir() if folder.name.isdecimal())
    state = {"newest": newest.name.encode(), "log": (run / "log.jsonl").read_bytes()}
    for file in newest.glob("*.safetensors"):
        state |= {f"{file.stem}/{key}": value.numpy().tobytes() for key, value in load_file(file).items()}
    return state


def kill_and_resume(folder: Path, out: str, rng: random.Random) -> dict[str, bytes]:
    """Starts a run, kills it at a random moment after its first line of the log, resumes it and returns its state."""
    run = folder / out
    process = subprocess.Popen(run_command(out, workers=rng.choice([0, 2])), cwd=folder, stderr=subprocess.DEVNULL)
    lines = rng.randrange(1, STEPS // 3)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "log.jsonl").exists() and (run / "log.jsonl").read_text().count("\n") >= lines:
            break
        time.sleep(0.002)
    time.sleep(rng.random() * 0.4)
    process.kill()
    process.wait()
    subprocess.run(
        [sys.executable, "-m", "mdtranslate", "run", out], cwd=folder, check=True, capture_output=True, timeout=240
    )
    return read_state(run)


def main() -> None:
    """Prints what differs after each kill; exits with 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of runs that are killed")
    kills = parser.parse_args().kills
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        subprocess.run(run_command("whole"), cwd=folder, check=True, capture_output=True)
        expected = read_state(folder / "whole")
        num_different = 0
        for kill in range(kills):
            state = kill_and_resume(folder, f"killed-{kill}", rng)
            different = sorted(key for key in expected.keys() | state.keys() if expected.get(key) != state.get(key))
            num_different += bool(different)
            print(
                f"kill {kill + 1}: {len(different)} of {len(expected)} entries differ {different[:3] or ''}", flush=True
            )
    print(f"{kills} kills, {num_different} runs that differ")
    sys.exit(1 if num_different else 0)


if __name__ == "__main__":
    main()
