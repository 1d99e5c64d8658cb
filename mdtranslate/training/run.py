"""Starts and resumes runs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from mdtranslate.config.command_line import format_command
from mdtranslate.config.recipe_loader import ResolvedRecipe
from mdtranslate.config.resume_policy import learning_changes, suggest_path_settings
from mdtranslate.config.run_folder import RunFolder, refuse_existing
from mdtranslate.config.toml_tree import toml_value
from mdtranslate.errors import RecipeError
from mdtranslate.training.checkpointing import restore, saved_precision
from mdtranslate.training.distributed import World
from mdtranslate.training.job import TrainingJob
from mdtranslate.utils.console import ProgressDisplay
from mdtranslate.utils.device import describe_device
from mdtranslate.utils.files import exclusive_lock


def start(resolved: ResolvedRecipe, out: Path | None, world: World) -> None:
    """Trains a new run. Nothing is written to disk before data and networks are ready.

    Args:
        resolved: The recipe.
        out: Folder of the run; None for the next free one below `runs/`.
        world: The processes that train together.

    Raises:
        MdtranslateError: Recipe, data or disk are not in order, or training failed; see `mdtranslate.errors`.
    """
    if out is not None and world.is_main_process:
        refuse_existing(out)  # Now, rather than after minutes of caching.
    with ProgressDisplay(quiet=not world.is_main_process) as watch:
        job = TrainingJob(resolved, world, watch)
        job.load_initial_weights()
        job.open_data()
        job.assert_same_in_all_processes(step=0)
        if not world.is_main_process:
            job.train_along(start=0)
            return
        run = RunFolder.create(resolved.name, out)
        with exclusive_lock(run.path):
            run.record_start(resolved, job.machine)
            job.train(run, start=0)


def resume(run: RunFolder, resolved: ResolvedRecipe, world: World) -> None:
    """Resumes a run from its newest checkpoint; docs/commands.md says how equal the result is.

    Args:
        run: The run.
        resolved: Its recipe, with changes that the resume policy allows.
        world: The processes that train together.

    Raises:
        RecipeError: The run is further than `train.steps`.
        CheckpointError: No checkpoint fits; see `restore`.
        InUseError: Another process trains this run.
        MdtranslateError: Recipe, data or disk are not in order, or training failed; see `mdtranslate.errors`.
    """
    lock = exclusive_lock(run.path) if world.is_main_process else nullcontext()
    with ProgressDisplay(quiet=not world.is_main_process) as watch, lock, suggest_path_settings(resolved.recipe):
        if world.is_main_process:
            run.remove_leftovers()
        recorded = saved_precision(run, world.device)
        job = TrainingJob(resolved, world, watch, recorded)
        job.open_data()

        # The main process restores first: it sets corrupt checkpoints aside.
        if not world.is_main_process:
            world.barrier()
        step = restore(run, job.trainer, job.loader.data_digests, watch.say, clean_up=world.is_main_process)
        if world.is_main_process:
            world.barrier()
        job.assert_same_in_all_processes(step)

        steps = resolved.recipe.train.steps
        if step > steps:
            raise RecipeError(f"train.steps={steps}: {run.path} is at step {step} already")
        if step == 0:
            job.load_initial_weights()
        if not world.is_main_process:
            job.train_along(start=step)
        elif step == steps:  # The saved recipe stays: nothing is trained with other settings.
            job.finish(run, step)
            longer = format_command("run", run.path, f"train.steps={2 * step}")
            watch.say(f"{run.path} is done: {step} steps. To train longer: {longer}")
        else:
            precision, changed = job.trainer.precision, learning_changes(run.saved_recipe().recipe, resolved.recipe)
            if recorded not in (None, precision):
                changed["train.precision"] = [toml_value(recorded), toml_value(precision)]
                if resolved.recipe.train.precision == "auto":
                    watch.say(
                        f"train.precision=auto: {recorded} until step {step}, {precision} from now on, since "
                        f"{describe_device(world.device)} has no instructions for {recorded}"
                    )
            run.record_resume(resolved, job.machine, step, changed)
            job.train(run, start=step)
