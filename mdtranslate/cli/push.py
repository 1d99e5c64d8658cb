"""`mdtranslate push`: shares a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from mdtranslate.cli.options import device_option, run_argument

MAX_DIFFERENCE: Final = 2
"""Largest difference of compact weights, in grey levels of 255, without a warning."""


@click.command("push")
@run_argument
@click.argument("target")
@click.option(
    "--license",
    "licence",
    metavar="ID",
    help="License in the model card, as an identifier of Hugging Face, such as mit.",
)
@click.option(
    "--terms",
    type=click.Path(path_type=Path),
    help="Text file with the model's own terms, its LICENSE; users see the first line when they use the model.",
)
@click.option(
    "--notes",
    type=click.Path(path_type=Path),
    help="Markdown file for the model card: intended use, bias of the labels, and what else users should know.",
)
@click.option(
    "--compact", is_flag=True, help="Store weights as float16, and replace the discriminator by a small classifier."
)
@click.option(
    "--no-picture", "no_sample_grid", is_flag=True, help="Leave out the sample grid, which shows images of the dataset."
)
@click.option("--private", is_flag=True, help="Create a private repository; an existing one must be private already.")
@click.option("--message", help="Commit message on Hugging Face.")
@device_option
def command(
    run: Path,
    target: str,
    licence: str | None,
    terms: Path | None,
    notes: Path | None,
    compact: bool,
    no_sample_grid: bool,
    private: bool,
    message: str | None,
    device: str,
) -> None:
    """Share the trained model of RUN as a new folder TARGET, or on Hugging Face as hf://OWNER/NAME.

    It contains the weights as safetensors, metadata as JSON, the recipe, and README.md: a model card with a sample grid
    and the results of the evaluation. Folder names of this machine are removed. `mdtranslate pull TARGET` gets the
    model. Pushing to the same repository again replaces all its files, also a model card that was edited there.

    --compact needs the dataset of RUN. It trains the classifier on train images (with --device, a minute on a CPU), and
    evaluates the new weights if RUN was evaluated.
    """
    from mdtranslate.config.command_line import format_command
    from mdtranslate.sharing.hub import parse_location
    from mdtranslate.sharing.push import Statements, push
    from mdtranslate.utils.console import ProgressDisplay
    from mdtranslate.utils.device import pick_device

    with ProgressDisplay() as display:
        changes = push(
            run,
            target,
            Statements.read(run, licence, terms, notes),
            include_sample_grid=not no_sample_grid,
            private=private,
            message=message,
            compact_on=pick_device(device) if compact else None,
            progress=display.caching,
        )
    if changes is not None:
        _print_changes(changes)
    click.echo(f"{target}: the model card is README.md")
    click.echo(f"get it with: {format_command('pull', parse_location(target))}")


def _print_changes(changes: Mapping[str, Any]) -> None:
    """Prints how a compact model differs from its run."""
    difference = changes["max_difference"]
    click.echo(
        f"compact: translations of {changes['images']} images differ from those of the run by at most {difference} of "
        f"255 grey levels, {changes['mean_difference']:.3f} on average"
    )
    if difference > MAX_DIFFERENCE:
        click.echo(f"warning: that is more than {MAX_DIFFERENCE} grey levels; compare the translations", err=True)
    for dataset, shares in changes.get("accuracy", {}).items():
        for name, share in shares.items():
            before = changes["discriminator_accuracy"][dataset][name]
            click.echo(f"  {dataset}.{name} of validation images is inferred in {share:.1%}, before in {before:.1%}")
