"""`mdtranslate run`: trains a recipe, or resumes a run."""

from __future__ import annotations

from pathlib import Path

import click

from mdtranslate.cli.completion_items import complete_recipes
from mdtranslate.cli.json_output import print_json
from mdtranslate.cli.options import device_option


@click.command("run")
@click.argument("recipe", shell_complete=complete_recipes)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the run; default: runs/RECIPE-NUMBER.",
)
@device_option
@click.option("--dry-run", is_flag=True, help="Print every setting and its origin; read no data.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run, print JSON.")
def command(
    recipe: str, overrides: tuple[str, ...], out: Path | None, device: str, dry_run: bool, as_json: bool
) -> None:
    """Train RECIPE: the name of a recipe, a .toml file, or the folder of a run to resume.

    KEY=VALUE changes a setting, such as train.steps=1000 or generator.channels=32. To use several GPUs:
    torchrun --nproc-per-node 8 -m mdtranslate run RECIPE
    """
    from mdtranslate.config.manifest import is_shared
    from mdtranslate.config.recipe_loader import resolve
    from mdtranslate.config.registry import registry
    from mdtranslate.config.run_folder import RunFolder, is_run
    from mdtranslate.errors import RecipeError

    if as_json and not dry_run:
        raise RecipeError("--json needs --dry-run; training writes its results to log.jsonl in the folder of the run")
    run: RunFolder | None
    folder = Path(recipe)
    if recipe in registry().names("model") and not folder.is_dir() and recipe not in registry().names("recipe"):
        raise RecipeError(
            f"{recipe}: is a trained model, which cannot be resumed; start a new run with train.init={recipe}"
        )
    is_recipe_name = recipe in registry().names("recipe")
    if is_recipe_name and is_run(folder):
        raise RecipeError(
            f"{recipe}: is the name of a recipe and the folder of a run; write ./{recipe} to resume the run"
        )
    if folder.is_dir() and not is_recipe_name:
        if not is_run(folder):
            raise RecipeError(f"{folder}: is a folder but not a run (it has no recipe.toml)")
        if out is not None:
            raise RecipeError("--out: a run is resumed in its own folder; --out is for new runs")
        if is_shared(folder):
            raise RecipeError(
                f"{folder}: is a shared model, which cannot be resumed; start a new run with train.init={folder}"
            )
        run = RunFolder(folder)
        resolved = run.resolve_for_resume(overrides)
    else:
        run = None
        resolved = resolve(recipe, overrides)
    if dry_run and as_json:
        print_json([{"key": key, "value": value, "origin": origin} for key, value, origin in resolved.settings()])
        return
    if dry_run:
        click.echo(resolved.explain())
        return

    from mdtranslate.training.distributed import join_world
    from mdtranslate.training.run import resume, start

    with join_world(device) as world:
        if run is None:
            start(resolved, out, world)
        else:
            resume(run, resolved, world)
