"""`mdtranslate evaluate`: measures a trained run on its test pictures."""

from __future__ import annotations

from pathlib import Path

import click

from mdtranslate.cli.json_output import print_json


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report; RUN/evaluation if left out.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of tables.")
def command(run: Path, overrides: tuple[str, ...], out: Path | None, device: str, as_json: bool) -> None:
    """Measure RUN, the folder of a trained run, on all test pictures and all edits of one attribute.

    An independent judge, trained on the dataset's real pictures and cached, says what it sees in each edited picture.
    The report lies in RUN/evaluation (or --out) afterwards, as JSON and as a picture. KEY=VALUE changes metrics and
    evaluation, such as metrics.l1=reconstruction, and where a dataset lies: datasets.pets.root=FOLDER.
    """
    from mdtranslate.config.run_dir import RunFolder, is_run
    from mdtranslate.config.shared_models import is_shared
    from mdtranslate.errors import RecipeError
    from mdtranslate.utils.files import check_writable

    if not is_run(run):
        raise RecipeError(f"{run}: is no run (it holds no recipe.toml); mdtranslate run trains one")
    if out is None and is_shared(run):
        raise RecipeError(f"{run}: is a shared model, which a report in it would change; use --out FOLDER")
    folder = out or run / "evaluation"
    check_writable(folder, "--out FOLDER writes the report elsewhere")  # Before minutes of measuring.

    from rich.console import Console

    from mdtranslate.evaluation.evaluate import measure, write
    from mdtranslate.evaluation.report_table import show
    from mdtranslate.utils.console import Watch
    from mdtranslate.utils.device import pick_device

    with Watch() as watch:
        report, images = measure(RunFolder(run), pick_device(device), overrides, progress=watch.packing)
    if as_json:
        print_json(report.json())
    else:
        show(report, Console(highlight=False))
    write(report, images, folder)  # After it is shown: a disk that is full takes no figure away.
    if not as_json:
        click.echo(f"\n{folder}: report.json, and the edits of the first test pictures")
