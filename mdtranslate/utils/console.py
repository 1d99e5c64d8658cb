"""Progress of long jobs on standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column


class ProgressDisplay:
    """Shows the progress of caching and training: one live bar on a terminal, occasional lines elsewhere.

    Use it as a context manager.

    Args:
        quiet: Show nothing.

    Attributes:
        console: The rich console on standard error.
        live: Whether a live bar is shown.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self.live = self.console.is_terminal and not quiet
        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            # Losses take the remaining width and may be cut off; the log has all of them.
            TextColumn(
                "{task.fields[losses]}",
                style="dim",
                markup=False,  # Attribute names of a dataset may look like markup.
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
        )
        self._bar = Progress(*columns, console=self.console, disable=not self.live, expand=True)
        self._task: TaskID | None = None
        self._task_name = ""
        self._start_time = 0.0
        self._start_count = 0
        self._last_line_time = 0.0
        self._validation_summary: list[str] = []

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str, style: str | None = None) -> None:
        """Prints a permanent line.

        Args:
            line: Plain text; rich markup in it is not interpreted.
            style: A rich style, such as `yellow`.
        """
        with _ignore_broken_pipe():
            self.console.print(line, style=style, markup=False, soft_wrap=True)

    def caching(self, name: str, done: int, total: int) -> None:
        """Shows the progress of caching images.

        Args:
            name: What is cached, such as `faces train`.
            done: Number of images that are cached.
            total: Number of images in all.
        """
        self._advance(f"preparing {name}", done, total)
        if not self.live and (done == total or time.monotonic() - self._last_line_time > 5):
            self._last_line_time = time.monotonic()
            self.say(f"preparing {name}: {done}/{total}")

    def training(self, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Shows the progress of training.

        Args:
            step: Number of finished steps.
            steps: Number of steps in all.
            losses: Means of the losses by name; empty between two log entries.
        """
        self._advance("training", step, steps)
        if not losses:
            return
        loss_texts = [
            f"{name.replace('discriminator/', 'D ').replace('generator/', 'G ')} {losses[name]:.3g}" for name in losses
        ]
        if self._task is not None:
            self._bar.update(self._task, losses="  ".join([*self._validation_summary, *loss_texts]))
        if not self.live:
            left = self._seconds_left(step, steps)
            self.say(f"step {step}/{steps}  {self.speed(step):.2f} it/s  {left:.0f} s left  {'  '.join(loss_texts)}")

    def validated(self, step: int, steps: int, summary: str) -> None:
        """Shows the result of a validation: on the bar before the losses, or as a line.

        Args:
            step: Number of finished steps.
            steps: Number of steps in all.
            summary: The result in a few words.
        """
        self._validation_summary = [summary]
        if not self.live:
            self.say(f"step {step}/{steps}  {summary}")

    def speed(self, step: int) -> float:
        """Returns the steps (or images) per second since the current task began in this process."""
        return (step - self._start_count) / max(time.monotonic() - self._start_time, 1e-9)

    def _seconds_left(self, step: int, steps: int) -> float:
        return (steps - step) / max(self.speed(step), 1e-9)

    def _advance(self, task_name: str, done: int, total: int) -> None:
        if task_name != self._task_name:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task_name, self._start_count = task_name, done
            self._start_time = self._last_line_time = time.monotonic()
            self._task = self._bar.add_task(task_name, total=total, completed=done, speed="", losses="")
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total, speed=f"{self.speed(done):.1f} it/s")


@contextmanager
def _ignore_broken_pipe() -> Iterator[None]:
    """Lets the job continue without output if standard error was closed, as by a pipe to `head`."""
    try:
        yield
    except (BrokenPipeError, SystemExit):  # rich exits on a broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
