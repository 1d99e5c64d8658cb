"""`mdtranslate bench`: compares methods as a suite's file says."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mdtranslate.cli.json_output import print_json


@click.command("bench")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; runs/bench-SUITE if left out.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Cells at a time.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--dry-run", is_flag=True, help="Print the cells and their lengths; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: results.json, or the cells.")
def command(suite: Path, out: Path | None, jobs: int, device: str, dry_run: bool, as_json: bool) -> None:
    """Train and measure every method of SUITE, a .toml file, and compare them.

    A cell (a method with one seed at one budget) is a run in a folder of its own. What is done is not done again, what
    was interrupted is gone on with. The results are index.html, table.md, table.csv and results.json. Exits with 1
    where a cell failed or a figure is missing; the others are there all the same.
    """
    from rich.console import Console

    from mdtranslate.bench.compare import compare, plan
    from mdtranslate.bench.table import show
    from mdtranslate.utils.device import pick_device

    if dry_run:
        planned = plan(suite)
        if as_json:
            print_json(planned.json())
        else:
            click.echo("\n".join(planned.lines()))
        sys.exit(1 if planned.wrong else 0)
    where = out or Path("runs") / f"bench-{suite.stem}"
    results = compare(suite, where, str(pick_device(device)), jobs, lambda line: click.echo(line, err=True))
    if as_json:
        print_json(results.json())
    else:
        show(results, Console(highlight=False))
        click.echo(f"\n{where}: index.html, table.md, table.csv, results.json")
    if results.gaps:
        sys.exit(1)
