"""A run from its recipe to its translator: data, networks, the loop, and what is kept on the way."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mdtranslate.api.translation import Batch
from mdtranslate.config.command_line import typed
from mdtranslate.config.model_bundle import Model, build_losses, weights_of_labels
from mdtranslate.config.recipes import Resolved
from mdtranslate.config.resume_policy import naming_places, trained_with
from mdtranslate.config.run_dir import RunFolder, refuse_taken, tensorboard
from mdtranslate.config.schema import Recipe
from mdtranslate.data.augment import Augment
from mdtranslate.data.loader import Feed
from mdtranslate.data.prefetch import Ahead
from mdtranslate.data.source import attributes_of, build_sources
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, RecipeError, Stopped, StorageError
from mdtranslate.inference.grid import sample_grid
from mdtranslate.inference.translator import Translator
from mdtranslate.training.checkpointing import restore, save, save_along, saved_step, worth_saving
from mdtranslate.training.distributed import World
from mdtranslate.training.trainer import Trainer, learn
from mdtranslate.training.validation import Monitor
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.console import Watch
from mdtranslate.utils.device import describe, hardware
from mdtranslate.utils.files import disk, held
from mdtranslate.utils.image_io import encode_png
from mdtranslate.utils.process import peak_memory, signals


def start(resolved: Resolved, out: Path | None, world: World) -> None:
    """Trains a new run. Nothing is made on disk before the data and networks are ready."""
    if out is not None and world.leads:
        refuse_taken(out)  # Now, not only after minutes of packing.
    with Watch(quiet=not world.leads) as watch:
        job = Job(resolved, world, watch)
        job.take_over()
        job.open_data()
        job.agree(0)
        if not world.leads:
            job.follow(0)
            return
        run = RunFolder.create(resolved.name, out)
        with held(run.path):
            run.begin(resolved, job.machine)
            job.train(run, 0)


def go_on(run: RunFolder, resolved: Resolved, world: World) -> None:
    """Goes on where a run stopped; docs/commands.md says how equal the result is."""
    alone = held(run.path) if world.leads else nullcontext()
    with Watch(quiet=not world.leads) as watch, alone, naming_places(resolved.recipe):
        if world.leads:
            run.sweep()
        job = Job(resolved, world, watch)
        job.open_data()
        if not world.leads:
            world.barrier()  # What is damaged is gone then.
        step = restore(run, job.trainer, job.feed.identity, watch.say, tidy=world.leads)
        if world.leads:
            world.barrier()
        job.agree(step)
        if step > resolved.recipe.train.steps:
            raise RecipeError(f"train.steps={resolved.recipe.train.steps}: {run.path} is at step {step} already")
        if step == 0:
            job.take_over()
        if not world.leads:
            job.follow(step)
        elif step >= resolved.recipe.train.steps:  # Its recipe stays: nothing is trained with other settings.
            # A kill between the last checkpoint and the end leaves these behind; they follow from the checkpoint.
            job.finish(run, step)
            watch.say(
                f"{run.path} is done: {step} steps. "
                f"To train longer: {typed('run', run.path, f'train.steps={2 * step}')}"
            )
        else:
            run.go_on(resolved, job.machine, step)
            job.train(run, step)


class Job:
    """One run in this process. What a recipe gets wrong is said when it is made, before any picture is read."""

    def __init__(self, resolved: Resolved, world: World, watch: Watch) -> None:
        self.name, self.recipe, self.world, self.watch = resolved.name, resolved.recipe, world, watch
        self.device = device = world.device
        recipe: Recipe = resolved.recipe
        self.part = world.part(recipe.data.batch_size, recipe.train.accumulate)
        if recipe.train.tensorboard and find_spec("tensorboard") is None:
            raise PluginError("train.tensorboard=true needs TensorBoard: pip install 'mdtranslate[tensorboard]'")
        self.augment = Augment.build(recipe.data.augment, recipe.data.cached_size)
        self.sources = build_sources(recipe)
        self.model = Model.build(
            recipe.encoder,
            recipe.generator,
            recipe.discriminator,
            attributes=attributes_of(self.sources),
            image_size=recipe.data.image_size,
            seed=recipe.train.seed,
        ).to(device)
        losses = build_losses(recipe, self.model.encoder, device)
        self.trainer = Trainer(recipe, self.model, losses, device, world, watch.say)
        self.feed = Feed(recipe, self.sources, self.model.encoder, watch.packing)
        for note in (resolved.note, *(network.note for network in self.model.networks.values()), recipe.data.note):
            if note:
                watch.say(note)

    @property
    def machine(self) -> dict[str, Any]:
        """What speed, and the last bits of results, depend on."""
        return {**hardware(self.device), "precision": self.trainer.precision, "processes": self.world.size}

    def open_data(self) -> None:
        """Brings the pictures into the cache, which may take long, and opens it."""
        with self.world.one_first():
            self.batches = self.feed.batches(self.device, self.augment, self.part)
        if not self.world.leads:
            return
        self.samples = self.feed.samples(self.watch.say)
        self.monitor = Monitor(self.sources, self.model.encoder, self.recipe, self.device, self.watch.packing)
        if self.recipe.train.check_every:
            _ = self.monitor.trials  # What cannot be read is said before anything is trained.

    def agree(self, step: int) -> None:
        """Raises `RecipeError` where processes that train together would not train the same."""
        pictures = {f"the pictures of {name}": own for name, own in self.feed.identity.items()}
        self.world.same({"the step": step, **trained_with(self.recipe), **pictures})

    def train(self, run: RunFolder, step: int) -> None:
        """The loop, with everything that a run keeps. Signals save first; whatever ends it, `status.json` says so."""
        steps = self.recipe.train.steps
        if listed := run.list_left_out(self.feed.left_out):
            self.watch.say(f"{len(self.feed.left_out)} pictures cannot be read and are left out; {listed} lists them")
        on = describe(self.device) if self.world.size == 1 else f"{self.world.size} x {describe(self.device)}"
        self.watch.say(f"training {self.name} in {run.path} on {on}, {self.trainer.precision}, step {step} to {steps}")
        run.status("running", step, steps)
        try:
            with (
                signals() as self.world.caught,
                tensorboard(run.path / "tensorboard", step, self.recipe.train.tensorboard) as board,
            ):
                if step == 0:
                    self._draw(run, 0, board)
                if self.recipe.train.check_every:
                    self._begin_looks(run, step)
                self._stamp = time.monotonic()
                self.watch.training(step, steps, {})
                with self._fed() as batches:
                    learn(self.trainer, batches, step, lambda done: self._keep(run, done, board))
        except BaseException as error:
            at_once = not isinstance(error, Exception)  # A second signal, that did not wait for the end of a step.
            state = "stopped" if at_once or isinstance(error, Stopped) else "failed"
            said = "at once" if at_once else str(error) if isinstance(error, MdtranslateError) else repr(error)
            with suppress(StorageError):  # What stopped the run matters more than that it cannot be noted.
                run.status(state, saved_step(run), steps, said)
            raise
        run.status("done", steps, steps)
        self._farewell(run)

    def _fed(self) -> AbstractContextManager[Callable[[int], Batch]]:
        """The training batches; ahead of their use where a GPU would wait for them."""
        ahead = self.device.type == "cuda"
        return Ahead(self.batches, self.recipe.train.steps) if ahead else nullcontext(self.batches)

    def follow(self, step: int) -> None:
        """The loop of a process that trains along and keeps nothing."""

        def checked(done: int) -> None:
            train, ending = self.recipe.train, self.world.ending
            every = train.log_every, train.save_every, train.sample_every, train.check_every or train.steps
            if ending or done == train.steps or 0 in (done % each for each in every):
                self.trainer.statistics.check(done)  # As the one that writes: all end there.
            due = ending or done == train.steps or done % train.save_every == 0
            if due and worth_saving(self.trainer, done, lambda _: None):
                save_along(self.trainer)
            if ending and done < train.steps:
                raise Stopped("", self.world.signal)

        with signals() as self.world.caught, self._fed() as batches:
            learn(self.trainer, batches, step, checked)

    def _keep(self, run: RunFolder, done: int, board: Any) -> None:
        """What is due after `done` steps: log, progress, checkpoint, samples; and the end where a signal came."""
        train, losses, ending = self.recipe.train, dict[str, float](), self.world.ending
        last = done == train.steps
        if done % train.log_every == 0 or last:
            self.trainer.statistics.check(done)
            losses = self.trainer.statistics.means()
            now = time.monotonic()
            run.append(run.log, {"step": done, **losses})
            spent = self.trainer.compile_seconds()
            row = {"step": done, "seconds": round(now - self._stamp - spent, 4)}
            row |= {"compile_seconds": round(spent, 4)} if spent else {}
            run.append(run.timing, row | peak_memory(self.device))
            self._stamp = now
            if board:
                for name, value in losses.items():
                    board.add_scalar(name, value, done)
        self.watch.training(done, train.steps, losses)
        if train.check_every and done % train.check_every == 0:
            self._check(run, done, board)
        if done % train.save_every == 0 or last or ending:
            self._save(run, done)
        if done % train.sample_every == 0 or last:
            self._draw(run, done, board)
        if ending and not last:
            name, step = signal.Signals(self.world.signal).name, saved_step(run)
            again = typed("run", run.path)
            raise Stopped(f"stopped by {name} and saved at step {step}. To go on: {again}", self.world.signal)

    def _begin_looks(self, run: RunFolder, step: int) -> None:
        if step == 0:
            run.append(run.log, self.monitor.begin())
        else:
            self.monitor.recall(run.log)

    def _check(self, run: RunFolder, step: int, board: Any) -> None:
        began = time.monotonic()
        self.trainer.statistics.check(step)
        look = self.monitor.look(self.translator(step), step)
        run.append(run.log, look.line())
        took = time.monotonic() - began
        self._stamp += took
        if said := self.monitor.weigh(began, took):
            self.watch.say(said)
        run.append(run.timing, {"step": step, "check_seconds": round(took, 4)})
        self.watch.looked(step, self.recipe.train.steps, look.text())
        if look.warning:
            self.watch.say(f"warning: {look.warning}", style="yellow")
        for name, value in look.line().items() if board else ():
            if isinstance(value, float):
                board.add_scalar(name, value, step)

    def finish(self, run: RunFolder, step: int) -> None:
        self.translator(step).save(run.translator)
        self._draw(run, step, None)
        run.status("done", step, self.recipe.train.steps)

    def take_over(self) -> None:
        """The weights of another run to start from, where the recipe names one (`train.init`): those that fit."""
        folder = self.recipe.train.init
        if folder is None:
            return
        other = Translator.load(Path(folder), self.device).model
        if other.discriminator is None:
            raise CheckpointError(f"train.init={folder}: has no discriminator to go on with")
        same = [*other.encoder.layout] == [*self.model.encoder.layout]
        others = {} if same else weights_of_labels(self.recipe, self.model)
        for role, network in self.model.networks.items():
            name, state = f"train.init={folder}: {role}", other.networks[role].state_dict()
            if anew := tensor_dir.fill_fitting(network, state, name, others.get(role, ())):
                self.watch.say(f"{name}: these weights do not fit and start anew: {', '.join(anew)}")
        if self.trainer.average is not None:
            self.trainer.average.load_state_dict(self.model.generator.state_dict())

    def translator(self, step: int) -> Translator:
        """What the run ships at this step."""
        model = Model(self.model.encoder, self.trainer.translating(), self.model.discriminator)
        return Translator(
            model,
            image_size=self.recipe.data.image_size,
            crops={source.name: source.dataset.crop for source in self.sources},
            ranges={each.name: shown for each in self.sources if (shown := each.dataset.value_range)},
            credit=list(dict.fromkeys(each.dataset.credit for each in self.sources if each.dataset.credit)),
            trained={"recipe": self.name, "step": step, "plugins": self.recipe.plugins},
        )

    def _draw(self, run: RunFolder, step: int, board: Any) -> None:
        self.trainer.statistics.check(step)
        grid = sample_grid(self.translator(step), *self.samples)
        with disk(run.samples):
            run.samples.mkdir(exist_ok=True)
        encode_png(np.asarray(grid), run.samples / f"{step:06d}.png")
        if board:
            board.add_image("samples", np.asarray(grid), step, dataformats="HWC")

    def _save(self, run: RunFolder, step: int) -> None:
        self.trainer.statistics.check(step)
        if not worth_saving(self.trainer, step, self.watch.say):
            return
        save(run, self.trainer, step, self.feed.identity)
        self.translator(step).save(run.translator)
        run.status("running", step, self.recipe.train.steps)

    def _farewell(self, run: RunFolder) -> None:
        say = self.watch.say
        say(f"done: {run.path}\n  samples      {run.samples / f'{self.recipe.train.steps:06d}.png'}")
        say(f"  translator   {run.translator}")
        say(f"next: {typed('evaluate', run.path)}")
        say(f"  or: {typed('translate', run.path, self.translator(0).usage)}")
