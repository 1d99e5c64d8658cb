"""What a run records while it trains: log, validation, sample grids, checkpoints and the translator."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mdtranslate.config.command_line import format_command
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.errors import Stopped
from mdtranslate.inference.grid import sample_grid
from mdtranslate.inference.translator import Translator
from mdtranslate.training.checkpointing import save, saved_step, should_save
from mdtranslate.training.trainer import Trainer
from mdtranslate.training.validation import Validator
from mdtranslate.utils.console import ProgressDisplay
from mdtranslate.utils.files import storage_errors
from mdtranslate.utils.image_io import write_png
from mdtranslate.utils.process import peak_memory


class Recorder:
    """Writes to the run's folder, in the main process."""

    def __init__(
        self,
        run: RunFolder,
        trainer: Trainer,
        validator: Validator,
        data_digests: Mapping[str, str],
        samples: Any,
        translator: Callable[[int], Translator],
        watch: ProgressDisplay,
        board: Any,
    ) -> None:
        """Prepares recording.

        Args:
            run: The run.
            trainer: The trainer.
            validator: Validates the translator.
            data_digests: Digest of images and labels by dataset.
            samples: Images and labels of the sample grid.
            translator: Returns the translator after a number of steps.
            watch: Shows progress.
            board: TensorBoard writer, or None.
        """
        self.run, self.trainer, self.validator, self.data_digests = run, trainer, validator, data_digests
        self.samples, self.translator, self.watch, self.board = samples, translator, watch, board
        self.settings = trainer.recipe.train
        self._last_log = time.monotonic()

    def begin(self, start: int) -> None:
        """Records the state before the first step of this process."""
        if start == 0:
            self.write_samples(0)
        if self.settings.validate_every and start == 0:
            self.run.append_line(self.run.log, self.validator.choose_classifier())
        elif self.settings.validate_every:
            self.validator.restore(self.run.log)
        self._last_log = time.monotonic()
        self.watch.training(start, self.settings.steps, {})

    def after_step(self, done: int, *, stopping: bool) -> None:
        """Records what is due after `done` steps.

        Args:
            done: Number of steps done.
            stopping: Whether a signal asks the run to end.

        Raises:
            Stopped: The run ends because of a signal; its state is saved.
            NonFiniteError: Losses or gradients are not finite, see `train.on_nonfinite`.
            StorageError: A file cannot be written.
        """
        settings, last = self.settings, done == self.settings.steps
        means = self._write_log(done) if done % settings.log_every == 0 or last else {}
        self.watch.training(done, settings.steps, means)
        if settings.validate_every and done % settings.validate_every == 0:
            self._validate(done)
        if done % settings.save_every == 0 or last or stopping:
            self._save(done)
        if done % settings.sample_every == 0 or last:
            self.write_samples(done)
        if stopping and not last:
            number = self.trainer.world.signal
            name, step = signal.Signals(number).name, saved_step(self.run)
            command = format_command("run", self.run.path)
            raise Stopped(f"stopped by {name} and saved at step {step}. To resume: {command}", number)

    def write_samples(self, step: int) -> None:
        """Draws the sample grid."""
        self.trainer.statistics.check(step)
        grid = sample_grid(self.translator(step), *self.samples)
        with storage_errors(self.run.samples):
            self.run.samples.mkdir(exist_ok=True)
        write_png(np.asarray(grid), self.run.samples / f"{step:06d}.png")
        if self.board:
            self.board.add_image("samples", np.asarray(grid), step, dataformats="HWC")

    def _write_log(self, done: int) -> dict[str, float]:
        self.trainer.statistics.check(done)
        means = self.trainer.statistics.means()
        now = time.monotonic()
        self.run.append_line(self.run.log, {"step": done, **means})
        compile_seconds = self.trainer.take_compile_seconds()
        row = {"step": done, "seconds": round(now - self._last_log - compile_seconds, 4)}
        row |= {"compile_seconds": round(compile_seconds, 4)} if compile_seconds else {}
        self.run.append_line(self.run.timing, row | peak_memory(self.trainer.device))
        self._last_log = now
        if self.board:
            for name, value in means.items():
                self.board.add_scalar(name, value, done)
        return means

    def _validate(self, step: int) -> None:
        began = time.monotonic()
        self.trainer.statistics.check(step)
        result = self.validator.validate(self.translator(step), step)
        self.run.append_line(self.run.log, result.log_line())
        seconds = time.monotonic() - began
        self._last_log += seconds  # Not part of the training time.
        if warning := self.validator.check_overhead(began, seconds):
            self.watch.say(warning)
        self.run.append_line(self.run.timing, {"step": step, "validation_seconds": round(seconds, 4)})
        self.watch.validated(step, self.settings.steps, self.validator.summary())
        if result.warning:
            self.watch.say(f"warning: {result.warning}", style="yellow")
        for name, value in result.log_line().items() if self.board else ():
            if isinstance(value, float):
                self.board.add_scalar(name, value, step)

    def _save(self, step: int) -> None:
        self.trainer.statistics.check(step)
        if should_save(self.trainer, step, self.watch.say):
            save(self.run, self.trainer, step, self.data_digests)
            self.translator(step).save(self.run.translator)
            self.run.write_status("running", step, self.settings.steps)
