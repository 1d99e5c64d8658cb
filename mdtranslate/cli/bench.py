"""`mdtranslate bench`: compares methods."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mdtranslate.cli.json_output import print_json
from mdtranslate.cli.options import device_option


@click.command("bench")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results; default: runs/bench-SUITE.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Cells that run at the same time."
)
@device_option
@click.option("--dry-run", is_flag=True, help="Only list the cells with their numbers of steps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the results, or with --dry-run the cells.")
def command(suite: Path, out: Path | None, jobs: int, device: str, dry_run: bool, as_json: bool) -> None:
    """Train and evaluate all methods of SUITE, a .toml file, and compare them.

    A cell is one run: one method, one seed and one number of steps. Cells that are done are not repeated, and
    interrupted ones are resumed. Results are written to index.html, table.md, table.csv and results.json. The exit code
    is 1 if a cell failed or a result is missing; all other results are still written.
    """
    from rich.console import Console

    from mdtranslate.bench.compare import compare, plan_suite
    from mdtranslate.bench.table import print_tables
    from mdtranslate.utils.device import pick_device

    if dry_run:
        planned = plan_suite(suite)
        if as_json:
            print_json(planned.json())
        else:
            click.echo("\n".join(planned.lines()))
        sys.exit(1 if planned.invalid else 0)
    folder = out or Path("runs") / f"bench-{suite.stem}"
    results = compare(suite, folder, str(pick_device(device)), jobs, lambda line: click.echo(line, err=True))
    if as_json:
        print_json(results.json())
    else:
        print_tables(results, Console(highlight=False))
        click.echo(f"\n{folder}: index.html, table.md, table.csv, results.json")
    if results.gaps:
        sys.exit(1)
