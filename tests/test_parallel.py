"""Several processes train as one does: the same gradients, the same weights, and an end for all when one is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mdtranslate.errors import RecipeError
from mdtranslate.training.distributed import World, _placement, first_host

BRIEF = [
    *("datasets.avatars.train=24", "datasets.avatars.val=8", "datasets.avatars.test=8", "data.image_size=32"),
    *("data.batch_size=8", "train.validate_every=4", "train.log_every=2", "train.save_every=2", "data.workers=0"),
    *("train.precision=fp32", "generator.channels=4", "discriminator.channels=4"),
]
STARGAN = ["stargan", *BRIEF, "train.critic_steps=2", "generator.blocks=1", "discriminator.layers=3"]
BANKS = [f"{role}.member.channels=4" for role in ("generator", "discriminator")]
BANK = ["diat", *BRIEF[:-2], *BANKS, "generator.member.blocks=1", "discriminator.member.layers=2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def begin(home: Path, *words: str, size: int = 2) -> list[subprocess.Popen[str]]:
    """`mdtranslate run ...` in so many processes."""
    return spawn(home, "-m", "mdtranslate", "run", *words, "--device", "cpu", size=size)


def spawn(
    home: Path, *words: str, size: int, own: Sequence[str] = (), begun: int | None = None
) -> list[subprocess.Popen[str]]:
    """Python in so many processes, as torchrun begins them; `own`: a word more for each; `begun`: only so many."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *words]
    found = []
    for rank in range(begun or size):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, **({name: str(value) for name, value in place.items()} if size > 1 else {})}
        mine = [*command, *own[rank : rank + 1]]
        found.append(subprocess.Popen(mine, cwd=home, env=environment, stderr=subprocess.PIPE, text=True))
    return found


def run(home: Path, *words: str, size: int = 2) -> list[str]:
    """What each process said, once all have ended well."""
    processes = begin(home, *words, size=size)
    said = [each.communicate(timeout=240)[1] for each in processes]
    assert [each.returncode for each in processes] == [0] * size, said
    return said


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / f"checkpoints/{step:06d}/networks.safetensors")


def far(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@pytest.mark.parametrize("recipe", ["stargan", "diat"])
def test_gradients_are_those_of_one_process_with_the_whole_batch(home: Path, recipe: str) -> None:
    for size in (1, 2):
        for each in spawn(home, str(Path(__file__).with_name("shared_step.py")), recipe, str(home), size=size):
            _, said = each.communicate(timeout=120)
            assert each.returncode == 0, said
    one, *two = (load_file(home / f"{recipe}-{name}.safetensors") for name in ("0-of-1", "0-of-2", "1-of-2"))
    if recipe == "stargan":
        assert "discriminator.conv2.weight" not in one and "generator.first.weight" not in one, "unused, and frozen"
    else:
        members = {name.split(".")[2] for name in one if name.startswith("generator.")}
        assert len(members) == 3, "nobody asks for one of four, and one is asked for in the first half alone"
    assert len(one) > 20 and any(each.abs().max() > 0 for each in one.values())
    for both in two:
        assert both.keys() == one.keys()
        for role in ("discriminator", "generator"):  # The generator's come after a step of the discriminator.
            mine, theirs = (
                torch.cat([each.flatten() for name, each in sorted(found.items()) if name.startswith(role)])
                for found in (one, both)
            )
            assert (mine - theirs).norm() / mine.norm() < 2e-6, role


def test_terms_that_not_all_processes_have_are_averaged_by_name(home: Path) -> None:
    """Other terms in each process, in another order, or none: averaged by name, and zero where one is missing."""
    code = """
import sys, torch
from mdtranslate.training.distributed import join_world
with join_world("cpu") as world:
    weight, known, found = torch.nn.Parameter(torch.zeros(2)), set(), []
    for first, second in (({"a": 1.0, "b": 2.0}, {"b": 4.0, "a": 3.0}), ({"a": 1.0}, {"c": 6.0}), ({}, {"c": 1.0})):
        mine = {name: torch.tensor(value) for name, value in (second if world.rank else first).items()}
        weight.grad = torch.full((2,), 1.0 + world.rank) if mine else None
        means = world.all_reduce_mean([weight], mine, known)
        known |= {*means}
        found.append(({name: float(value) for name, value in means.items()}, weight.grad.tolist()))
    print(found, file=sys.stderr)
"""
    expected = [({"a": 2.0, "b": 3.0}, [1.5, 1.5]), ({"a": 0.5, "b": 0.0, "c": 3.0}, [1.5, 1.5])]
    expected.append(({"a": 0.0, "b": 0.0, "c": 0.5}, [1.0, 1.0]))
    for each in spawn(home, "-c", code, size=2):
        _, said = each.communicate(timeout=60)
        assert said.strip() == str(expected)


def test_a_step_does_not_wait_for_ever(home: Path) -> None:
    """Process 1 is alive and does something else."""
    code = """
import time, torch
from mdtranslate.training import distributed as parallel
parallel.STEP_TIMEOUT = 2.0
with parallel.join_world("cpu") as world:
    if world.rank == 1:
        time.sleep(8)
    world.all_reduce_mean([], {"a": torch.zeros(())}, set())
"""
    first, second = spawn(home, "-c", code, size=2)
    _, said = first.communicate(timeout=60)
    second.kill()
    second.communicate()
    assert first.returncode == 1 and "PeerError: another process" in said


@pytest.mark.parametrize("recipe", [STARGAN, BANK], ids=["stargan", "a bank of which part of a batch asks part"])
def test_two_processes_train_as_one(home: Path, recipe: list[str]) -> None:
    name = recipe[0]
    run(home, *recipe, "train.steps=4", "--out", f"{name}-one", size=1)
    first, second = run(home, *recipe, "train.steps=4", "--out", f"{name}-two")
    assert "2 x cpu" in first and not second, "one speaks for both"
    one, two = (
        [json.loads(line) for line in (home / f"{name}-{which}/log.jsonl").read_text().splitlines()]
        for which in ("one", "two")
    )
    assert [line.keys() for line in one] == [line.keys() for line in two]
    for mine, theirs in zip(one, two, strict=True):
        for key in mine:
            if key.startswith(("discriminator/", "generator/")):
                assert theirs[key] == pytest.approx(mine[key], rel=1e-3, abs=1e-4), key
    # Adam makes much of rounding where gradients are next to nothing; a step is of the learning rate, 1e-3 and less.
    assert far(weights(home / f"{name}-one", 2), weights(home / f"{name}-two", 2)) < 2e-3
    # Gone on with by one process, and by two again.
    run(home, f"{name}-two", "train.steps=6", size=1)
    run(home, f"{name}-two", "train.steps=8")
    assert json.loads((home / f"{name}-two/status.json").read_text())["step"] == 8
    assert len((home / f"{name}-two/timing.jsonl").read_text().splitlines()) >= 4


def test_what_each_process_has_of_its_own_is_resumed(home: Path) -> None:
    """Image pools: those of two processes differ, and a run that was resumed ends as one that was not."""
    words = [
        "cyclegan",
        *BANK[1:],
        "losses.lsgan.pool_size=2",
        "train.save_every=3",
        "optimizers.generator.decay_from=1",
    ]
    words += ["optimizers.discriminator.decay_from=1"]
    run(home, *words, "train.steps=6", "--out", "pools-whole")
    run(home, *words, "train.steps=3", "--out", "pools-two")
    run(home, "pools-two", "train.steps=6")
    whole, resumed = (home / f"pools-{name}/checkpoints/000006" for name in ("whole", "two"))
    for file in ("networks", "process-1", "optimizers"):
        one, two = (load_file(folder / f"{file}.safetensors") for folder in (whole, resumed))
        assert far(one, two) == 0, file
    pools = "losses.lsgan.pool_images"
    own, other = (load_file(whole / f"{file}.safetensors") for file in ("networks", "process-1"))
    assert own[pools].any() and other[pools].any() and not torch.equal(own[pools], other[pools])
    said = run(home, "pools-two", "train.steps=7", size=1)
    assert "from process 0" in said[0]


def test_a_signal_to_one_saves_and_ends_all(home: Path) -> None:
    processes = begin(home, *STARGAN, "train.steps=100000", "train.validate_every=0", "--out", "told")
    wait_for(home / "told/checkpoints/000002")
    processes[1].send_signal(signal.SIGTERM)
    said = [each.communicate(timeout=60)[1] for each in processes]
    assert [each.returncode for each in processes] == [143, 143], said
    status = json.loads((home / "told/status.json").read_text())
    assert status["state"] == "stopped" and (home / f"told/checkpoints/{status['step']:06d}").exists()
    assert "stopped by SIGTERM and saved" in said[0]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_others_within_a_minute(home: Path, lost: int) -> None:
    name = f"lost-{lost}"
    processes = begin(home, *STARGAN, "train.steps=100000", "train.validate_every=0", "--out", name)
    wait_for(home / name / "checkpoints/000002")
    processes[lost].kill()
    began = time.monotonic()
    _, said = processes[1 - lost].communicate(timeout=60)
    assert processes[1 - lost].returncode == 76 and time.monotonic() - began < 60
    assert "is gone; `mdtranslate run FOLDER` resumes" in said and "Traceback" not in said
    processes[lost].communicate(timeout=10)


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stopped_process_is_missed(home: Path, stopped: int) -> None:
    """As a machine that hangs: nothing closes its connections."""
    processes = begin(home, *STARGAN, "train.steps=100000", "train.validate_every=0", "--out", f"hangs-{stopped}")
    wait_for(home / f"hangs-{stopped}/checkpoints/000002")
    processes[stopped].send_signal(signal.SIGSTOP)
    try:
        _, said = processes[1 - stopped].communicate(timeout=60)
    finally:
        processes[stopped].kill()
        processes[stopped].communicate(timeout=10)
    assert processes[1 - stopped].returncode == 76 and f"error: process {stopped} of 2 is gone" in said


def test_one_that_is_alone_says_so(home: Path) -> None:
    waits = (
        "import mdtranslate.training.distributed as p, mdtranslate.cli.main as c; p.RENDEZVOUS_TIMEOUT = 3.0; c.main()"
    )
    (lone,) = spawn(home, "-c", waits, "run", *STARGAN, "--out", "lone", "--device", "cpu", size=2, begun=1)
    _, said = lone.communicate(timeout=60)
    assert lone.returncode == 76 and "process 0 of 2 did not find the others: " in said and "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_a_signal_while_waiting_for_images_ends_all(home: Path) -> None:
    first, second = begin(home, *STARGAN, "datasets.avatars.train=50000", "--out", "packing")
    assert first.stderr is not None
    while "preparing" not in (line := first.stderr.readline()):
        assert line, "it ended before it packed"
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=30) == -signal.SIGTERM
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 76 and "process 1 of 2 is gone" in said and not (home / "packing").exists()


def test_processes_that_would_not_train_the_same_are_refused(home: Path) -> None:
    words = ["-m", "mdtranslate", "run", *STARGAN, "--out", "apart", "--device", "cpu"]
    processes = spawn(home, *words, size=2, own=("train.seed=0", "train.seed=1"))
    said = [each.communicate(timeout=120)[1] for each in processes]
    assert [each.returncode for each in processes] == [2, 2], said
    assert all("train.seed: is 1 in process 1 and 0 in process 0" in each for each in said)
    assert not (home / "apart").exists()


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")


def test_what_cannot_be_shared_is_refused(home: Path) -> None:
    processes = begin(home, *STARGAN, "data.batch_size=5", "--out", "odd")
    said = [each.communicate(timeout=60)[1] for each in processes]
    assert processes[0].returncode == 2, said
    assert "data.batch_size=5" in said[0] and not (home / "odd").exists()
    assert World(torch.device("cpu"), 1, 4).batch_slice(8) == slice(2, 4)
    with pytest.raises(RecipeError, match=r"data\.batch_size=16"):
        World(torch.device("cpu"), 0, 3).batch_slice(16)


def test_where_a_process_stands_is_read_from_torchrun_or_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert _placement({}) is None
    assert _placement({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) is None
    assert _placement({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == (5, 8, 1)
    slurm = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "77", "SLURM_NTASKS": "4"}
    assert _placement(slurm) is None, "what sbatch runs itself is alone"
    assert _placement({**slurm, "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NODELIST": "gpu[03-04]"}) == (3, 4, 1)
    assert os.environ["MASTER_ADDR"] == "gpu03" and 20_000 <= int(os.environ["MASTER_PORT"]) < 40_000
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name)
    assert first_host("gpu[003-008,012],login1") == "gpu003" and first_host("one,two") == "one"
    assert first_host("node[1-2]-ib") == "node1-ib"
