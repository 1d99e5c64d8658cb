"""Training and evaluation of the cells of a suite, each by commands of its own in a folder of its own.

::

    OUT/cells/BUDGET/METHOD/seed-N/run/       the run, with its evaluation
                                   log.txt    output of the commands
                                   cell.json  number of steps, and a hash of what the run was trained with
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

from mdtranslate.bench.results import missing_columns
from mdtranslate.bench.suite import Cell, ResolvedMethod, Suite, evaluation_overrides, training_steps
from mdtranslate.config.registry import registry
from mdtranslate.config.resume_policy import training_settings
from mdtranslate.errors import MdtranslateError, describe_error
from mdtranslate.utils.files import read_json, read_lines, storage_errors, write_json
from mdtranslate.utils.process import available_cores

TRIAL_STEPS: Final = 40
"""Steps that measure the speed of a method; as many warm it up before."""

LOG: Final = "log.txt"

EVALUATION_KEYS: Final = ("metrics.", "evaluation.")
"""Prefixes of settings that may change without a new training."""

Say = Callable[[str], None]
"""Prints a line for the user."""


class CellError(Exception):
    """A command of a cell failed; the message is that of the command.

    It becomes a gap in the results. It is not an `MdtranslateError`, because it never sets the exit code.
    """


class _ChildProcesses:
    """The commands that are running.

    Attributes:
        stopped: Whether `stop` was called.
        reported: Messages about missing columns that were printed, so that each is printed once.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.reported = set[str]()
        self._lock = Lock()
        self._running = set[subprocess.Popen[bytes]]()

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], output: BinaryIO) -> int:
        """Runs a command and returns its exit code.

        Raises:
            CellError: `stop` was called before.
        """
        with self._lock:
            if self.stopped:
                raise CellError("stopped")
            # In a session of its own, the command does not receive Ctrl-C from the terminal, only the one signal that
            # `stop` sends. A second signal would end a run before it is saved.
            process = subprocess.Popen(
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """Terminates all commands, which save their state first, and starts no more."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                process.terminate()


def run_cells(
    suite: Suite, methods: Mapping[str, ResolvedMethod], cells: Sequence[Cell], device: str, jobs: int, say: Say
) -> dict[Cell, str]:
    """Trains and evaluates all cells that are not finished.

    Args:
        suite: The suite.
        methods: Its methods, by name.
        cells: The cells.
        device: Device, as for `--device`.
        jobs: Number of cells that run at the same time.
        say: Prints a line for the user.

    Returns:
        The cells that failed, and why. A failed cell does not stop the others.
    """
    threads = max(1, available_cores() // jobs)
    failures: dict[Cell, str] = {}
    processes = _ChildProcesses()

    def run_cell(number: int, cell: Cell) -> None:
        name = f"[{number}/{len(cells)}] {cell.budget} {cell.method} seed {cell.seed}"
        runner = _CellRunner(
            cell, suite, methods[cell.method], device, threads, processes, lambda line: say(f"{name}: {line}")
        )
        try:
            outcome = runner.run()
        except Exception as error:  # Whatever goes wrong concerns one cell; the others go on.
            if processes.stopped:
                return
            is_expected = isinstance(error, MdtranslateError | CellError)
            failures[cell] = str(error) if is_expected else describe_error(error)
            if not is_expected:  # A bug here or in a plugin: keep the traceback in the cell's log.
                with (cell.folder / LOG).open("a", encoding="utf-8") as log:
                    traceback.print_exception(error, file=log)
            say(f"{name}: failed: {failures[cell]}")
        else:
            say(f"{name}: {outcome}")

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_cell, number, cell) for number, cell in enumerate(cells, start=1)]
        try:
            for future in futures:
                future.result()
        except BaseException as error:
            for future in futures:
                future.cancel()
            processes.stop()
            if not isinstance(error, Exception):  # Ctrl-C, or a signal.
                with suppress(OSError):  # Standard error may be closed.
                    say("stopping: runs are saving; the same command resumes them")
            raise
    return failures


class _CellRunner:
    """Trains and evaluates one cell."""

    def __init__(
        self,
        cell: Cell,
        suite: Suite,
        method: ResolvedMethod,
        device: str,
        threads: int,
        processes: _ChildProcesses,
        say: Say,
    ) -> None:
        self.cell, self.suite, self.method, self.device = cell, suite, method, device
        self.budget = suite.budgets[cell.budget]
        self.run_folder = cell.folder / "run"
        self.processes, self.say = processes, say
        self.environment = {"OMP_NUM_THREADS": str(threads), **os.environ}

    def run(self) -> str:
        """Trains and evaluates the cell, as far as that is not done yet.

        Returns:
            What was done, for the user.

        Raises:
            CellError: A command failed, or the cell's folder is damaged.
        """
        cell_file = self.cell.folder / "cell.json"
        with storage_errors(self.cell.folder):
            self.cell.folder.mkdir(parents=True, exist_ok=True)
        settings_hash = self._settings_hash()
        metadata = read_json(cell_file)
        if self.run_folder.exists() and not metadata:
            raise CellError(
                f"{cell_file}: missing or damaged, so what the run was trained with is unknown; remove "
                f"{self.cell.folder} to train the cell again"
            )
        if metadata.get("settings_hash") != settings_hash:
            if self.run_folder.exists():
                self.say("recipe or number of steps has changed: training starts again")
            shutil.rmtree(self.run_folder, ignore_errors=True)
            metadata = {"settings_hash": settings_hash, "networks": self.method.num_generators}
            metadata["steps"] = self._steps()
            write_json(cell_file, metadata)
        was_trained = read_json(self.run_folder / "status.json").get("state") == "done"
        if not was_trained:
            resumed = ", resumed" if (self.run_folder / "recipe.toml").exists() else ""
            self.say(f"training, {metadata['steps']:,} steps{resumed}")
            self._train(metadata["steps"])
        overrides = evaluation_overrides(self.suite)
        report = read_json(self.run_folder / "evaluation" / "report.json")
        if metadata.get("evaluated") == overrides and report:
            return "already done"
        self.say("evaluating")
        self._call("evaluate", str(self.run_folder), *overrides, "--device", self.device)
        write_json(cell_file, {**metadata, "evaluated": overrides})
        for line in missing_columns(self.suite, self.cell):  # After the first cell rather than at the end of the suite.
            if line not in self.processes.reported:
                self.processes.reported.add(line)
                self.say(f"warning: a column of the table has no results: {line}")
        return "evaluated" if was_trained else "trained and evaluated"

    def _train(self, steps: int) -> None:
        run = str(self.run_folder)
        if (self.run_folder / "recipe.toml").exists():
            self._call("run", run, "--device", self.device)
        else:
            self._call("run", *self._run_arguments(steps), "--out", run, "--device", self.device)

    def _run_arguments(self, steps: int) -> list[str]:
        method = self.suite.methods[self.cell.method]
        overrides = [*self.suite.settings, *method.settings]
        return [method.recipe, *overrides, f"train.seed={self.cell.seed}", f"train.steps={steps}"]

    def _steps(self) -> int:
        """Returns the number of steps of the cell; for a budget of seconds, it trains a few steps to measure speed."""
        if self.budget.seconds is None:
            return training_steps(self.method.recipe, self.budget, self.method.num_generators)
        trial = self.cell.folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        intervals = [f"train.{name}={2 * TRIAL_STEPS}" for name in ("sample_every", "save_every")]
        intervals += ["train.validate_every=0", f"train.log_every={TRIAL_STEPS // 4}"]
        arguments = [*self._run_arguments(2 * TRIAL_STEPS), *intervals]
        self._call("run", *arguments, "--out", str(trial), "--device", self.device)
        lines = [line for line in read_lines(trial / "timing.jsonl") if line["step"] > TRIAL_STEPS]
        seconds_per_step: float = median(line["seconds"] for line in lines) / (TRIAL_STEPS // 4)
        shutil.rmtree(trial)
        return max(self.method.recipe.train.critic_steps, round(self.budget.seconds / seconds_per_step))

    def _settings_hash(self) -> str:
        """Hashes all settings that the trained weights depend on, so neither logging nor evaluation."""
        recipe, seconds = self.method.recipe, self.budget.seconds
        settings: dict[str, Any] = {
            key: value for key, value in training_settings(recipe).items() if not key.startswith(EVALUATION_KEYS)
        }
        settings |= {"seed": self.cell.seed, "seconds": seconds}
        if recipe.train.precision != "auto":  # `training_settings` leaves it out, because a run may change it.
            settings["train.precision"] = recipe.train.precision
        settings["steps"] = None if seconds else training_steps(recipe, self.budget, self.method.num_generators)
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()

    def _call(self, *arguments: str) -> None:
        """Runs an `mdtranslate` command, with its output in the cell's log.

        Raises:
            CellError: The command failed.
        """
        plugins = [word for file in registry().files for word in ("--plugin", str(file))]
        command = [sys.executable, "-m", "mdtranslate", *plugins, *arguments]
        log_file = self.cell.folder / LOG
        with storage_errors(log_file), log_file.open("ab") as log:
            start = log.tell()
            exit_code = self.processes.run(command, self.environment, log)
        if exit_code:
            output = log_file.read_bytes()[start:].decode("utf-8", "replace")
            raise CellError(_failure_reason(arguments[0], exit_code, output))


def _failure_reason(command: str, exit_code: int, output: str) -> str:
    """Returns why a command failed, in one line: its error message, the last exception, the signal or the exit code."""
    lines = [line.strip() for line in output.splitlines()]
    if errors := [line for line in lines if line.startswith("error: ")]:
        return errors[-1].removeprefix("error: ")
    if exit_code < 0:
        hint = "; the usual cause is too little memory" if -exit_code == signal.SIGKILL else ""
        return f"{command} was ended by {signal.Signals(-exit_code).name}{hint}"
    if exceptions := [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]:
        return exceptions[-1]
    return f"{command} ended with exit code {exit_code}"
