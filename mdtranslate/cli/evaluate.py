"""`mdtranslate evaluate`: evaluates a trained run on its test images."""

from __future__ import annotations

from pathlib import Path

import click

from mdtranslate.cli.json_output import print_json
from mdtranslate.cli.options import device_option, run_argument


@click.command("evaluate")
@run_argument
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report; default: RUN/evaluation.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of tables.")
def command(run: Path, overrides: tuple[str, ...], out: Path | None, device: str, as_json: bool) -> None:
    """Evaluate RUN, the folder of a trained run, on all test images and all edits of one attribute.

    An independent attribute classifier, trained on real images and cached, classifies the edited images. The report is
    written to RUN/evaluation (or --out) as JSON, with an image of example edits. KEY=VALUE changes settings of metrics
    and evaluation, such as metrics.l1=reconstruction, and locations of datasets, such as datasets.pets.root=FOLDER.
    """
    from mdtranslate.config.manifest import is_shared
    from mdtranslate.config.run_folder import RunFolder, is_run
    from mdtranslate.config.shipped_models import format_run
    from mdtranslate.errors import RecipeError
    from mdtranslate.utils.files import check_writable

    if not is_run(run):
        raise RecipeError(f"{run}: is not a run (it has no recipe.toml); train one with mdtranslate run")
    if out is None and is_shared(run):
        name = format_run(run)
        raise RecipeError(f"{name}: is a shared model, whose files must not change; use --out FOLDER for the report")
    folder = out or run / "evaluation"
    check_writable(folder, "use --out FOLDER for another folder")  # Before minutes of work.

    from rich.console import Console

    from mdtranslate.evaluation.evaluate import measure
    from mdtranslate.evaluation.report import write_report
    from mdtranslate.evaluation.report_table import print_report
    from mdtranslate.utils.console import ProgressDisplay
    from mdtranslate.utils.device import pick_device

    with ProgressDisplay() as progress:
        report, images = measure(RunFolder(run), pick_device(device), overrides, progress=progress.caching)
    if as_json:
        print_json(report.json())
    else:
        print_report(report, Console(highlight=False))
    write_report(report, images, folder)  # After printing: a full disk must not hide the results.
    if not as_json:
        click.echo(f"\n{folder}: report.json, and edits of the first test images")
