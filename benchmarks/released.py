"""Trains StarGAN's released code on CelebA for a number of core-hours, and evaluates it like a run.

git clone https://github.com/yunjey/stargan STARGAN
python benchmarks/released.py STARGAN CELEBA --out runs/released --hours 2 --network 32 --blocks 3 --layers 4

STARGAN's `main.py` is run as it is, with the official train split of CELEBA as its data. Time is CPU time of its
processes. The same command resumes an interrupted training from the last checkpoint. OUT is then a folder like that of
a run: `mdtranslate evaluate`, `translate` and `bench` take it. OUT/released.json has the images seen and the losses.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.inference.foreign import import_checkpoint, parse_attributes

RECIPE = "stargan-celeba-64"
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
OTHERS = ("Male", "Young", "Smiling", "Eyeglasses", "Bangs", "Pale_Skin")
SAVE_EVERY = 500


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code", type=Path, help="checkout of the released code")
    parser.add_argument("celeba", type=Path, help="folder with img_align_celeba and the two lists")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, required=True, help="CPU hours of training")
    parser.add_argument("--size", type=int, default=64, help="image size in pixels")
    parser.add_argument("--network", type=int, default=64, help="channels of the first convolution of both networks")
    parser.add_argument("--blocks", type=int, default=6, help="residual blocks of the generator")
    parser.add_argument("--layers", type=int, default=6, help="strided convolutions of the discriminator")
    parser.add_argument("--batch-size", type=int, default=16)
    return parser.parse_args()


def write_train_list(celeba: Path, out: Path) -> Path:
    """Writes the rows of the official train split in the format of the published list; returns its path."""
    lines = (celeba / "list_attr_celeba.txt").read_text().splitlines()
    partition = dict(line.split() for line in (celeba / "list_eval_partition.txt").read_text().splitlines())
    rows = [line for line in lines[2:] if partition[line.split(maxsplit=1)[0]] == "0"]
    file = out / "list_attr_train.txt"
    file.write_text("\n".join([str(len(rows)), lines[1], *rows]) + "\n")
    return file


def last_iteration(models: Path) -> int:
    """Returns the number of iterations of the last checkpoint; 0 if there is none."""
    return max((int(file.name.partition("-")[0]) for file in models.glob("*-D.ckpt")), default=0)


def train(arguments: argparse.Namespace, train_list: Path) -> None:
    """Runs the released training until its processes, resumed ones included, have used the given CPU time."""
    out, models = arguments.out, arguments.out / "models"
    times = out / "seconds.json"
    used = json.loads(times.read_text()) if times.exists() else 0.0
    start = last_iteration(models)
    if start and used >= 3600 * arguments.hours:
        return
    folders = {"log_dir": "logs", "model_save_dir": "models", "sample_dir": "grids", "result_dir": "results"}
    attributes = (*HAIR, *OTHERS)
    command = [
        sys.executable, "-u", str(arguments.code.resolve() / "main.py"), "--mode", "train", "--dataset", "CelebA",
        "--celeba_image_dir", str(arguments.celeba.resolve() / "img_align_celeba"), "--attr_path", str(train_list),
        "--image_size", str(arguments.size), "--batch_size", str(arguments.batch_size),
        "--c_dim", str(len(attributes)), "--selected_attrs", *attributes,
        "--g_conv_dim", str(arguments.network), "--d_conv_dim", str(arguments.network),
        "--g_repeat_num", str(arguments.blocks), "--d_repeat_num", str(arguments.layers),
        "--model_save_step", str(SAVE_EVERY), "--log_step", "100", "--use_tensorboard", "false",
        *(text for name, folder in folders.items() for text in (f"--{name}", str(out / folder))),
    ]  # fmt: skip
    if start:
        command += ["--resume_iters", str(start)]
    with (out / "train.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            while process.poll() is None:
                time.sleep(5)
                seconds = used + cpu_seconds(process.pid)
                times.write_text(json.dumps(seconds))
                if seconds >= 3600 * arguments.hours and last_iteration(models) > start:
                    break
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    if not last_iteration(models):
        sys.exit(f"{out / 'train.log'}: the released code ended before its first checkpoint")


def cpu_seconds(group: int) -> float:
    """Returns the CPU time of all processes of a group, in seconds."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # The process has ended.
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def make_run(arguments: argparse.Namespace) -> None:
    """Converts the last checkpoint, and writes a recipe beside it, so that OUT can be evaluated like a run."""
    out, models = arguments.out, arguments.out / "models"
    iteration = last_iteration(models)
    text = f"hair={'|'.join(HAIR)},{','.join(OTHERS)}"
    translator = import_checkpoint(
        "stargan",
        [models / f"{iteration}-{network}.ckpt" for network in "GD"],
        parse_attributes([text]),
        {},
    )
    translator.save(out / "translator")
    root = json.dumps(str(arguments.celeba.resolve()))
    attributes = ["hair", *OTHERS]
    dataset = (
        f'{{name="celeba", root={root}, attributes={json.dumps(attributes)}, exclusive={{hair={json.dumps(HAIR)}}}}}'
    )
    resolved = resolve(RECIPE, [f"datasets={{images={dataset}}}", f"data.image_size={arguments.size}"])
    RunFolder(out).write_recipe(resolved)
    log = re.findall(r"Iteration \[(\d+)/\d+\], (.*)", (out / "train.log").read_text())
    losses = [
        {"iteration": int(step), **{name: float(value) for name, value in re.findall(r"(\S+): (-?[\d.]+)", terms)}}
        for step, terms in log
    ]
    summary = {
        "iterations": iteration,
        "images_seen_by_generator": iteration // 5 * arguments.batch_size,
        "images_seen_by_discriminator": iteration * arguments.batch_size,
        "cpu_hours": json.loads((out / "seconds.json").read_text()) / 3600,
        "losses": losses,
    }
    (out / "released.json").write_text(json.dumps(summary, indent=1))


def main() -> None:
    """Trains, converts, and says what to run next."""
    arguments = parse_arguments()
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(arguments, write_train_list(arguments.celeba, arguments.out))
    make_run(arguments)
    print(f"next: mdtranslate evaluate {arguments.out}")


if __name__ == "__main__":
    main()
