"""Trains and evaluates the cells of a suite, each as commands of its own in a folder of its own.

::

    OUT/cells/BUDGET/METHOD/seed-N/run/     the run, its evaluation in it
                                  log.txt   what its commands said
                                  cell.json how many steps its budget is, and of what it was made
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from statistics import median
from threading import Lock
from typing import Any, BinaryIO, Final

from mdtranslate.bench.results import lacking
from mdtranslate.bench.suite import Budget, Cell, Meant, Suite, measures, steps
from mdtranslate.config.registry import registry
from mdtranslate.config.resume_policy import trained_with
from mdtranslate.errors import MdtranslateError
from mdtranslate.utils.files import disk, read_json, read_lines, write_json
from mdtranslate.utils.process import available_cores

TRIAL: Final = 40
"""Steps that tell how fast a method is, after as many that only warm it up."""

LOG: Final = "log.txt"

LATER: Final = ("metrics.", "evaluation.")
"""Settings that can change without another training."""

Say = Callable[[str], None]


class Failed(Exception):
    """A command of a cell failed; its message is that of the command. It becomes a gap, never an exit code of ours."""


class _Children:
    """The commands that run at this moment. `stop` ends them, and lets none begin after that."""

    def __init__(self) -> None:
        self.lock, self.running, self.stopped = Lock(), set[subprocess.Popen[bytes]](), False
        self.said = set[str]()
        """What one cell has said for all."""

    def call(self, words: Sequence[str], environment: Mapping[str, str], out: BinaryIO) -> int:
        """The exit code of a command that writes to `out`."""
        with self.lock:
            if self.stopped:
                raise Failed("stopped")
            # In a session of its own Ctrl-C does not reach it, but for the one signal that `stop` sends: a second
            # one would end a run before it is saved.
            child = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
            self.running.add(child)
        try:
            return child.wait()
        finally:
            with self.lock:
                self.running.discard(child)

    def stop(self) -> None:
        """Each command saves what it has."""
        with self.lock:
            self.stopped = True
            for child in self.running:
                child.terminate()


def run_cells(
    suite: Suite, methods: Mapping[str, Meant], todo: Sequence[Cell], device: str, jobs: int, say: Say
) -> dict[Cell, str]:
    """Brings every cell to its end, `jobs` at a time. Gives those that failed, and why; the others go on."""
    threads = max(1, available_cores() // jobs)
    failed: dict[Cell, str] = {}
    children = _Children()

    def bring(number: int, cell: Cell) -> None:
        name = f"[{number}/{len(todo)}] {cell.budget} {cell.method} seed {cell.seed}"
        try:
            done = _Worker(
                cell, suite, methods[cell.method], device, threads, children, lambda line: say(f"{name}: {line}")
            ).bring()
        except Exception as error:  # Whatever it is, it is one cell's: the others go on.
            if children.stopped:
                return
            named = isinstance(error, MdtranslateError | Failed)
            failed[cell] = str(error) if named else f"{type(error).__name__}: {' '.join(str(error).split())}"
            if not named:  # A bug, of ours or of a plugin: where, is for the cell's log.
                with (cell.folder / LOG).open("a", encoding="utf-8") as log:
                    traceback.print_exception(error, file=log)
            say(f"{name}: failed: {failed[cell]}")
        else:
            say(f"{name}: {done}")

    with ThreadPoolExecutor(jobs) as pool:
        begun = [pool.submit(bring, number, cell) for number, cell in enumerate(todo, start=1)]
        try:
            for each in begun:
                each.result()
        except BaseException as error:
            for each in begun:
                each.cancel()
            children.stop()
            if not isinstance(error, Exception):  # Ctrl-C, or a signal.
                with suppress(OSError):  # Nobody may hear it any more.
                    say("stopping: runs save what they have, and the same words go on with it")
            raise
    return failed


class _Worker:
    """One cell and the commands that it takes."""

    def __init__(
        self, cell: Cell, suite: Suite, meant: Meant, device: str, threads: int, children: _Children, say: Say
    ) -> None:
        self.say = say
        self.cell, self.suite, self.meant, self.device = cell, suite, meant, device
        self.budget: Budget = suite.budgets[cell.budget]
        self.run, self.children = cell.folder / "run", children
        self.environment = {"OMP_NUM_THREADS": str(threads), **os.environ}

    def bring(self) -> str:
        """Trains and evaluates what is not yet; says what was done. Raises `Failed`."""
        with disk(self.cell.folder):
            self.cell.folder.mkdir(parents=True, exist_ok=True)
        made_of = self._made_of()
        facts = read_json(self.cell.folder / "cell.json")
        if self.run.exists() and not facts:
            raise Failed(
                f"{self.cell.folder}/cell.json: is missing or damaged, and tells of what the run was made; remove that "
                "folder to train the cell anew"
            )
        if facts.get("made_of") != made_of:
            # Another recipe or length: what lies there answers another question.
            if self.run.exists():
                self.say("its recipe or length is another than before: begun anew")
            shutil.rmtree(self.run, ignore_errors=True)
            facts = {"made_of": made_of, "networks": self.meant.networks}
            facts["steps"] = self._steps()
            write_json(self.cell.folder / "cell.json", facts)
        trained = read_json(self.run / "status.json").get("state") == "done"
        if not trained:
            on = ", going on" if (self.run / "recipe.toml").exists() else ""
            self.say(f"training, {facts['steps']:,} steps{on}")
            self._train(facts["steps"])
        report = read_json(self.run / "evaluation" / "report.json")
        if facts.get("evaluated") != measures(self.suite) or not report:
            self.say("evaluating")
            self._call("evaluate", str(self.run), *measures(self.suite), "--device", self.device)
            write_json(self.cell.folder / "cell.json", {**facts, "evaluated": measures(self.suite)})
            for line in lacking(self.suite, self.cell):  # After the first cell, not at the end of all.
                if line not in self.children.said:
                    self.children.said.add(line)
                    self.say(f"columns: {line}")
            return "evaluated" if trained else "trained and evaluated"
        return "done before"

    def _train(self, count: int) -> None:
        if (self.run / "recipe.toml").exists():
            self._call("run", str(self.run), "--device", self.device)
        else:
            self._call("run", *self._settings(count), "--out", str(self.run), "--device", self.device)

    def _settings(self, count: int) -> list[str]:
        method = self.suite.methods[self.cell.method]
        own = [*self.suite.settings, *method.settings]
        return [method.recipe, *own, f"train.seed={self.cell.seed}", f"train.steps={count}"]

    def _steps(self) -> int:
        if self.budget.seconds is None:
            return steps(self.meant.recipe, self.budget, self.meant.networks)
        trial = self.cell.folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        rarely = [f"train.{name}={2 * TRIAL}" for name in ("sample_every", "save_every")]
        quiet = [*rarely, "train.check_every=0", f"train.log_every={TRIAL // 4}"]
        self._call("run", *self._settings(2 * TRIAL), *quiet, "--out", str(trial), "--device", self.device)
        lines = read_lines(trial / "timing.jsonl")
        each: float = median(line["seconds"] for line in lines if line["step"] > TRIAL) / (TRIAL // 4)
        shutil.rmtree(trial)
        critic = self.meant.recipe.train.critic_steps
        return max(critic, round(self.budget.seconds / each))

    def _made_of(self) -> str:
        """A hash of everything that the weights depend on: not of how it is logged, nor of how it is measured."""
        settings = trained_with(self.meant.recipe)
        tree: dict[str, Any] = {key: value for key, value in settings.items() if not key.startswith(LATER)}
        seconds = self.budget.seconds
        tree |= {"seed": self.cell.seed, "seconds": seconds}
        precision = self.meant.recipe.train.precision
        tree |= {} if precision == "auto" else {"train.precision": precision}  # A run may change it on its way.
        tree |= {"steps": None if seconds else steps(self.meant.recipe, self.budget, self.meant.networks)}
        return hashlib.blake2b(json.dumps(tree, sort_keys=True).encode(), digest_size=8).hexdigest()

    def _call(self, *words: str) -> None:
        """Runs a command of ours. Raises `Failed` with what it said of its failure."""
        files = [word for file in registry().files for word in ("--plugin", str(file))]
        log = self.cell.folder / LOG
        with disk(log), log.open("ab") as out:
            start = out.tell()
            code = self.children.call([sys.executable, "-m", "mdtranslate", *files, *words], self.environment, out)
        if code:
            raise Failed(_reason(words[0], code, log.read_bytes()[start:].decode("utf-8", "replace")))


def _reason(what: str, code: int, said: str) -> str:
    """Why a command failed, in a line: its error, else the exception that it did not expect, else how it ended."""
    lines = [line.strip() for line in said.splitlines()]
    if errors := [line for line in lines if line.startswith("error: ")]:
        return errors[-1].removeprefix("error: ")
    if code < 0:
        killed = "; mostly that is too little memory" if -code == signal.SIGKILL else ""
        return f"{what} was ended by {signal.Signals(-code).name}{killed}"
    if exceptions := [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]:
        return exceptions[-1]
    return f"{what} ended with exit code {code}"
