"""`mdtranslate completion`: prints shell completion scripts."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, recipes and files.

    \b
    bash, in ~/.bashrc:  eval "$(mdtranslate completion bash)"
    zsh, in ~/.zshrc:    eval "$(mdtranslate completion zsh)"
    fish, once:          mdtranslate completion fish > ~/.config/fish/completions/mdtranslate.fish
    """
    from click.shell_completion import get_completion_class

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    completion = completion_class(ctx.find_root().command, {}, "mdtranslate", "_MDTRANSLATE_COMPLETE")
    click.echo(completion.source())
