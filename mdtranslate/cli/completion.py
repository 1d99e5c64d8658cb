"""`mdtranslate completion`: what makes a shell complete the words of a command."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, recipes and files.

    \b
    bash, in ~/.bashrc:  eval "$(mdtranslate completion bash)"
    zsh, in ~/.zshrc:    eval "$(mdtranslate completion zsh)"
    fish, once:          mdtranslate completion fish > ~/.config/fish/completions/mdtranslate.fish
    """
    from click.shell_completion import get_completion_class

    writer = get_completion_class(shell)
    assert writer is not None
    program = ctx.find_root()
    click.echo(writer(program.command, {}, "mdtranslate", "_MDTRANSLATE_COMPLETE").source())
