"""`mdtranslate run`: trains a recipe, or goes on with a run."""

from __future__ import annotations

from pathlib import Path

import click

from mdtranslate.cli.completion_items import recipes
from mdtranslate.cli.json_output import print_json


@click.command("run")
@click.argument("recipe", shell_complete=recipes)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run; the next number below runs/ if left out."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--dry-run", is_flag=True, help="Print every setting and where its value came from; look at no data.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON.")
def command(
    recipe: str, overrides: tuple[str, ...], out: Path | None, device: str, dry_run: bool, as_json: bool
) -> None:
    """Train RECIPE: a recipe's name, a .toml file, or the folder of a run to go on with.

    KEY=VALUE changes a setting, such as train.steps=1000 or generator.channels=32. Of several GPUs:
    torchrun --nproc-per-node 8 -m mdtranslate run RECIPE
    """
    from mdtranslate.config.recipes import resolve
    from mdtranslate.config.registry import registry
    from mdtranslate.config.run_dir import RunFolder, is_run
    from mdtranslate.config.shared_models import is_shared
    from mdtranslate.errors import RecipeError

    if as_json and not dry_run:
        raise RecipeError("--json goes with --dry-run; a run writes log.jsonl in its folder")
    folder = Path(recipe)
    named = recipe in registry().names("recipe")
    if named and is_run(folder):
        raise RecipeError(f"{recipe}: is a recipe, and a run lies in the folder of that name; ./{recipe} means the run")
    if folder.is_dir() and not named:
        if not is_run(folder):
            raise RecipeError(f"{folder}: is a folder but not a run (it holds no recipe.toml)")
        if out is not None:
            raise RecipeError("--out is for a new run; a run that goes on stays in its folder")
        if is_shared(folder):
            raise RecipeError(f"{folder}: is a model that was shared; a new run starts from it: train.init={folder}")
        run: RunFolder | None = RunFolder(folder)
        resolved = RunFolder(folder).resolve(overrides)
    else:
        run = None
        resolved = resolve(recipe, overrides)
    if dry_run and as_json:
        print_json([{"key": key, "value": value, "origin": origin} for key, value, origin in resolved.settings()])
        return
    if dry_run:
        click.echo(resolved.explain())
        return

    from mdtranslate.training.distributed import joined
    from mdtranslate.training.run import go_on, start

    with joined(device) as world:
        if run is None:
            start(resolved, out, world)
        else:
            go_on(run, resolved, world)
