"""A training job: the components of a recipe in this process, and the training loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from typing import Any

from mdtranslate.api.batch import Batch
from mdtranslate.config.command_line import format_command
from mdtranslate.config.model_bundle import Model, build_losses, label_dependent_weights
from mdtranslate.config.recipe_loader import ResolvedRecipe
from mdtranslate.config.resume_policy import training_settings
from mdtranslate.config.run_folder import RunFolder, tensorboard_writer
from mdtranslate.data.augment import Augment
from mdtranslate.data.loader import Loader
from mdtranslate.data.prefetch import Prefetcher
from mdtranslate.data.recipe_datasets import attributes_by_dataset, build_datasets
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, Stopped, StorageError
from mdtranslate.inference.serialization import COMPACT
from mdtranslate.inference.translator import Translator
from mdtranslate.training.checkpointing import saved_step, send_process_state, should_save
from mdtranslate.training.distributed import World
from mdtranslate.training.recorder import Recorder
from mdtranslate.training.trainer import Trainer
from mdtranslate.training.validation import Validator
from mdtranslate.utils import tensor_dir
from mdtranslate.utils.console import ProgressDisplay
from mdtranslate.utils.device import describe_device, hardware
from mdtranslate.utils.process import catch_signals


class TrainingJob:
    """The components of a recipe, and the training loop.

    Attributes:
        sources: The datasets.
        model: The label encoder and the networks.
        trainer: What changes during training.
        loader: Makes batches and sample images.
    """

    def __init__(
        self, resolved: ResolvedRecipe, world: World, watch: ProgressDisplay, recorded_precision: str | None = None
    ) -> None:
        """Builds all components, so that mistakes in the recipe are reported before any image is read.

        Args:
            resolved: The recipe.
            world: The processes that train together.
            watch: Shows progress.
            recorded_precision: As for `Trainer`.

        Raises:
            MdtranslateError: Something in the recipe does not fit.
        """
        self.name, self.recipe, self.world, self.watch = resolved.name, resolved.recipe, world, watch
        self.device = device = world.device
        recipe = resolved.recipe
        self.batch_slice = world.batch_slice(recipe.data.batch_size, recipe.train.gradient_accumulation)
        if recipe.train.tensorboard and find_spec("tensorboard") is None:
            raise PluginError("train.tensorboard=true needs TensorBoard: pip install 'mdtranslate[tensorboard]'")
        self.augment = Augment.build(recipe.data.augment, recipe.data.cached_size)
        self.sources = build_datasets(recipe)
        self.model = Model.build(
            recipe.label_encoder,
            recipe.generator,
            recipe.discriminator,
            attributes=attributes_by_dataset(self.sources),
            image_size=recipe.data.image_size,
            seed=recipe.train.seed,
        ).to(device)
        losses = build_losses(recipe, self.model.label_encoder, device)
        self.trainer = Trainer(recipe, self.model, losses, device, world, watch.say, recorded_precision)
        self.loader = Loader(recipe, self.sources, self.model.label_encoder, watch.caching)
        for note in (resolved.note, *(network.note for network in self.model.networks.values()), recipe.data.note):
            if note:
                watch.say(note)

    @property
    def machine(self) -> dict[str, Any]:
        """What speed, and the last bits of results, depend on."""
        return {**hardware(self.device), "precision": self.trainer.precision, "processes": self.world.size}

    def open_data(self) -> None:
        """Fills the cache, which may take long, and opens it.

        Raises:
            DataError: Images or labels are not as the recipe needs them.
            StorageError: The cache cannot be written.
        """
        with self.world.main_process_first():
            self.batches = self.loader.batches(self.device, self.augment, self.batch_slice)
        if self.world.is_main_process:
            self.samples = self.loader.sample_images(self.watch.say)
            self.validator = Validator(
                self.sources, self.model.label_encoder, self.recipe, self.device, self.watch.caching
            )
            if self.recipe.train.validate_every:
                _ = self.validator.edits  # Unreadable images are reported before training.

    def assert_same_in_all_processes(self, step: int) -> None:
        """Raises `RecipeError` if processes that train together have different settings, precision, data or steps."""
        digests = {f"the images of {name}": digest for name, digest in self.loader.data_digests.items()}
        precision = {"train.precision": self.trainer.precision}
        self.world.assert_same({"the step": step, **training_settings(self.recipe), **precision, **digests})

    def load_initial_weights(self) -> None:
        """Loads the weights of the run or model that `train.init` names.

        Weights of another shape start anew, and so does the discriminator if the model is compact; both are reported.

        Raises:
            CheckpointError: That run has no discriminator.
        """
        folder = self.recipe.train.init
        if folder is None:
            return
        try:
            translator = Translator.load(folder, self.device)
        except CheckpointError as error:
            raise type(error)(f"train.init: {error}") from None
        other, is_compact = translator.model, COMPACT in translator.trained
        if is_compact:
            self.watch.say(
                f"train.init={folder}: the discriminator starts anew, since a compact model has none that scores images"
            )
        elif other.discriminator is None:
            raise CheckpointError(f"train.init={folder}: has no discriminator to start from")
        same_labels = [*other.label_encoder.channel_names] == [*self.model.label_encoder.channel_names]
        label_weights = {} if same_labels else label_dependent_weights(self.recipe, self.model)
        for role, network in self.model.networks.items():
            if role == "discriminator" and is_compact:
                continue
            name, state = f"train.init={folder}: {role}", other.networks[role].state_dict()
            if skipped := tensor_dir.load_matching_weights(network, state, name, label_weights.get(role, ())):
                self.watch.say(f"{name}: these weights do not fit and start anew: {', '.join(skipped)}")
        if self.trainer.average is not None:
            self.trainer.average.load_state_dict(self.model.generator.state_dict())

    def train(self, run: RunFolder, start: int) -> None:
        """Trains from step `start` to the last and records everything in the run's folder.

        A signal ends it after the current step, with a checkpoint; `status.json` records every kind of end.
        """
        steps, say = self.recipe.train.steps, self.watch.say
        if listed := run.write_left_out(self.loader.left_out):
            say(f"{len(self.loader.left_out)} images cannot be read and are left out; {listed} lists them")
        device = (
            describe_device(self.device)
            if self.world.size == 1
            else f"{self.world.size} x {describe_device(self.device)}"
        )
        say(f"training {self.name} in {run.path} on {device}, {self.trainer.precision}, step {start} to {steps}")
        run.write_status("running", start, steps)
        try:
            with (
                catch_signals() as self.world.received_signals,
                tensorboard_writer(run.path / "tensorboard", start, self.recipe.train.tensorboard) as board,
            ):
                recorder = self._recorder(run, board)
                recorder.begin(start)
                with self._prefetched_batches() as batches:
                    for step in range(start, steps):
                        self.trainer.train_step(step, batches(step))
                        recorder.after_step(step + 1, stopping=self.world.should_stop)
        except BaseException as error:
            immediately = not isinstance(error, Exception)  # A second signal does not wait for the end of a step.
            state = "stopped" if immediately or isinstance(error, Stopped) else "failed"
            reason = str(error) if isinstance(error, MdtranslateError) else repr(error)
            with suppress(StorageError):  # The original error matters more.
                run.write_status(state, saved_step(run), steps, "immediately" if immediately else reason)
            raise
        run.write_status("done", steps, steps)
        self._print_next_steps(run)

    def train_along(self, start: int) -> None:
        """The training loop of all but the main process: it writes nothing."""
        train = self.recipe.train
        intervals = train.log_every, train.save_every, train.sample_every, train.validate_every or train.steps
        with catch_signals() as self.world.received_signals, self._prefetched_batches() as batches:
            for step in range(start, train.steps):
                self.trainer.train_step(step, batches(step))
                done, stopping = step + 1, self.world.should_stop
                last = done == train.steps
                # At the same steps as in the main process, so that all end there.
                if stopping or last or any(done % interval == 0 for interval in intervals):
                    self.trainer.statistics.check(done)
                saving = stopping or last or done % train.save_every == 0
                if saving and should_save(self.trainer, done, lambda _: None):
                    send_process_state(self.trainer)
                if stopping and not last:
                    raise Stopped("", self.world.signal)

    def finish(self, run: RunFolder, step: int) -> None:
        """Writes what a run that was killed between its last checkpoint and its end still lacks."""
        recorder = self._recorder(run, board=None)
        self.translator(step).save(run.translator)
        recorder.write_samples(step)
        run.write_status("done", step, self.recipe.train.steps)

    def translator(self, step: int) -> Translator:
        """Returns the translator that the run ships after `step` steps."""
        model = Model(self.model.label_encoder, self.trainer.generator_to_ship(), self.model.discriminator)
        datasets = {source.name: source.dataset for source in self.sources}
        return Translator(
            model,
            image_size=self.recipe.data.image_size,
            crops={name: dataset.crop for name, dataset in datasets.items()},
            ranges={name: limits for name, dataset in datasets.items() if (limits := dataset.value_range)},
            credit=list(dict.fromkeys(dataset.credit for dataset in datasets.values() if dataset.credit)),
            trained={"recipe": self.name, "step": step, "plugins": self.recipe.plugins},
        )

    def _recorder(self, run: RunFolder, board: Any) -> Recorder:
        return Recorder(
            run,
            self.trainer,
            self.validator,
            self.loader.data_digests,
            self.samples,
            self.translator,
            self.watch,
            board,
        )

    def _prefetched_batches(self) -> AbstractContextManager[Callable[[int], Batch]]:
        """Batches by step; on a GPU they are made ahead of their use."""
        on_gpu = self.device.type == "cuda"
        return Prefetcher(self.batches, self.recipe.train.steps) if on_gpu else nullcontext(self.batches)

    def _print_next_steps(self, run: RunFolder) -> None:
        say = self.watch.say
        say(f"done: {run.path}")
        say(f"  samples      {run.samples / f'{self.recipe.train.steps:06d}.png'}")
        say(f"  translator   {run.translator}")
        say(f"next: {format_command('evaluate', run.path)}")
        say(f"  or: {format_command('translate', run.path, self.translator(0).usage)}")
