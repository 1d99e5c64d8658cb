"""What a person sees of a long job: a live bar on a terminal, plain lines elsewhere. Always on standard error."""

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


class Watch:
    """Shows packing and training. On a terminal one live bar at a time; elsewhere a line now and then."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self.live = self.console.is_terminal and not quiet
        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            # What room is left; the log has them all.
            TextColumn(
                "{task.fields[losses]}",
                style="dim",
                markup=False,  # Names of a dataset's attributes are among it.
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
        )
        self._bar = Progress(*columns, console=self.console, disable=not self.live, expand=True)
        self._task: TaskID | None = None
        self._what = ""
        self._began = 0.0
        self._first = 0
        self._said = 0.0
        self._seen: list[str] = []

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def say(self, line: str, style: str | None = None) -> None:
        """A line that stays."""
        with _heard():
            self.console.print(line, style=style, markup=False, soft_wrap=True)

    def packing(self, what: str, done: int, total: int) -> None:
        """Progress of filling the cache."""
        self._advance(f"preparing {what}", done, total)
        if not self.live and (done == total or time.monotonic() - self._said > 5):
            self._said = time.monotonic()
            self.say(f"preparing {what}: {done}/{total}")

    def training(self, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Progress of training; `losses` may be empty between two lines of the log."""
        self._advance("training", step, steps)
        if not losses:
            return
        parts = [
            f"{name.replace('discriminator/', 'D ').replace('generator/', 'G ')} {losses[name]:.3g}" for name in losses
        ]
        if self._task is not None:
            self._bar.update(self._task, losses="  ".join([*self._seen, *parts]))
        if not self.live:
            left = self._seconds_left(step, steps)
            self.say(f"step {step}/{steps}  {self.speed(step):.2f} it/s  {left:.0f} s left  {'  '.join(parts)}")

    def looked(self, step: int, steps: int, seen: str) -> None:
        """What was last seen of held-out pictures: on the bar before the losses, or a line."""
        self._seen = [seen]
        if not self.live:
            self.say(f"step {step}/{steps}  {seen}")

    def speed(self, step: int) -> float:
        """Steps per second since training began in this process."""
        return (step - self._first) / max(time.monotonic() - self._began, 1e-9)

    def _seconds_left(self, step: int, steps: int) -> float:
        return (steps - step) / max(self.speed(step), 1e-9)

    def _advance(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._what, self._began, self._first, self._said = what, time.monotonic(), done, time.monotonic()
            self._task = self._bar.add_task(what, total=total, completed=done, speed="", losses="")
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total, speed=f"{self.speed(done):.1f} it/s")


@contextmanager
def _heard() -> Iterator[None]:
    """Where nobody reads standard error any more (a pipe to `head`), the job goes on in silence."""
    try:
        yield
    except (BrokenPipeError, SystemExit):  # rich ends the program for a broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
