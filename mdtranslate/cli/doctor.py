"""`mdtranslate doctor`: checks the datasets of a recipe before training."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mdtranslate.cli.completion_items import complete_recipes
from mdtranslate.cli.json_output import print_json
from mdtranslate.cli.options import device_option


@click.command("doctor")
@click.argument("recipe", shell_complete=complete_recipes)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for contact sheets; default: doctor/RECIPE.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(recipe: str, overrides: tuple[str, ...], out: Path | None, device: str, as_json: bool) -> None:
    """Check the datasets of RECIPE before training.

    Checks numbers of images, labels, image files, duplicates, and whether a classifier can predict the labels from the
    images. Problems are listed by severity, each with a remedy. The exit code is 1 if training cannot succeed.
    """
    from rich.console import Console

    from mdtranslate.config.recipe_loader import resolve
    from mdtranslate.doctor.inspection import failure_report, inspect_datasets, print_report
    from mdtranslate.errors import DataError
    from mdtranslate.training.distributed import World
    from mdtranslate.training.job import TrainingJob
    from mdtranslate.utils.console import ProgressDisplay
    from mdtranslate.utils.device import pick_device
    from mdtranslate.utils.files import check_writable

    resolved = resolve(recipe, overrides)
    folder = out or Path("doctor") / resolved.name
    check_writable(folder, "use --out FOLDER for another folder")
    try:
        with ProgressDisplay() as progress:
            job = TrainingJob(resolved, World(pick_device(device)), progress)
            job.load_initial_weights()
            report = inspect_datasets(job, folder)
    except DataError as error:
        if as_json:
            print_json(failure_report(error).json())
        raise
    if as_json:
        print_json(report.json())
    else:
        print_report(report, Console(highlight=False))
    if report.has_errors:
        sys.exit(1)
