"""`mdtranslate doctor`: looks at the data of a recipe before a day is spent on it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mdtranslate.cli.completion_items import recipes
from mdtranslate.cli.json_output import print_json


@click.command("doctor")
@click.argument("recipe", shell_complete=recipes)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the contact sheets; doctor/RECIPE if left out.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(recipe: str, overrides: tuple[str, ...], out: Path | None, device: str, as_json: bool) -> None:
    """Look at the data of RECIPE: counts, labels, pictures, duplicates, and whether labels can be seen.

    Findings come the gravest first, each with what to do. Exits with 1 when training would be in vain.
    """
    from rich.console import Console

    from mdtranslate.config.recipes import resolve
    from mdtranslate.doctor.examine import examine, show, unusable
    from mdtranslate.errors import DataError
    from mdtranslate.training.distributed import World
    from mdtranslate.training.run import Job
    from mdtranslate.utils.console import Watch
    from mdtranslate.utils.device import pick_device
    from mdtranslate.utils.files import check_writable

    resolved = resolve(recipe, overrides)
    check_writable(out or Path("doctor") / resolved.name, "--out FOLDER writes the contact sheets elsewhere")
    try:
        with Watch() as watch:
            job = Job(resolved, World(pick_device(device)), watch)
            job.take_over()
            report = examine(job, out or Path("doctor") / resolved.name)
    except DataError as error:
        if as_json:
            print_json(unusable(error).json())
        raise
    if as_json:
        print_json(report.json())
    else:
        show(report, Console(highlight=False))
    if report.in_vain:
        sys.exit(1)
