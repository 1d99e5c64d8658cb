"""The command line: names the commands, and turns every failure into one line and its exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mdtranslate._version import __version__
from mdtranslate.errors import MdtranslateError, said
from mdtranslate.utils.process import endings

# When a process that trains along is gone, torch prints a page of its own; what matters is in the line that we give.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
# What torch's compiler says of a machine without a GPU reads like an error, and is none.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

COMMANDS = {
    "run": "Train a recipe, or go on with a run.",
    "doctor": "Look at the data of a recipe before training.",
    "translate": "Translate pictures with a trained run.",
    "serve": "Show a trained run on a page of this machine.",
    "evaluate": "Measure a trained run on its test pictures.",
    "bench": "Compare methods as a suite's file says.",
    "import": "Make a translator of a published checkpoint.",
    "export": "Write a trained generator as a file for other programs.",
    "push": "Share a trained model.",
    "pull": "Take a model that somebody shared.",
    "new": "Write a package with a component of your own.",
    "plugins": "List plugins, or print one component's settings.",
    "data": "List, verify or clear the cache of packed pictures.",
    "info": "Print versions, devices and plugins, for a bug report.",
    "completion": "Print what makes a shell complete commands and recipes.",
}


class _Commands(click.Group):
    """Imports a command when it is used: `--help` needs no torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = "importing" if name == "import" else name  # A keyword names no module.
        command: click.Command = import_module(f"mdtranslate.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A plugin that is a plain .py file; may be given several times.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.version_option(__version__, message="mdtranslate %(version)s")
@click.pass_context
def cli(ctx: click.Context, plugins: tuple[Path, ...], debug: bool) -> None:
    """Multi-domain image-to-image translation.

    Begin with `mdtranslate run stargan`: it draws its own pictures and trains in minutes on a processor.
    """
    if plugins:
        from mdtranslate.config.registry import use_files

        use_files(plugins)


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line and exits."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # Whatever its encoding: names of files and values are any text.
            stream.reconfigure(errors="backslashreplace")
    for each in endings():
        signal.signal(each, _terminated)
    try:
        try:
            cli.main(arguments, prog_name="mdtranslate", standalone_mode=False, color=_colour())
        except SystemExit as error:  # Click's own, for a pipe that was closed; or a plugin's.
            sys.exit(_unexpected(error) if _blamed(error) else error.code)
        sys.exit(0)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()  # Nothing was asked for: click shows the help.
        else:
            message = " ".join(error.format_message().split()).rstrip(".")
            _show(error, f"{message}; see {context.command_path} --help" if context is not None else message)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except _Terminated as ended:
        click.echo("stopped", err=True)
        sys.exit(128 + ended.number)
    except MdtranslateError as error:
        _show(error, str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        sys.exit(_unexpected(error))


class _Terminated(BaseException):
    """A signal to end, where nothing is trained: what is half-written is removed on the way out, as for Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


def _terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def _blamed(error: BaseException) -> Any:
    """The stranger's plugin in whose code an error was raised, or None."""
    registry = sys.modules.get("mdtranslate.config.registry")
    plugin = registry.registry().blame(error) if registry else None
    return None if plugin is None or plugin.ours else plugin


def _unexpected(error: BaseException) -> int:
    """A failure that nobody named: the machine's, a plugin's if the code that raised it is a plugin's, or ours."""
    what = said(error)
    if plugin := _blamed(error):
        _show(error, f"{plugin} failed: {what} (--debug shows where)")
        return 69
    if isinstance(error, OSError) and error.filename is not None:
        _show(error, f"{click.format_filename(error.filename)}: {error.strerror}")
        return 74
    if isinstance(error, MemoryError) or "out of memory" in what or "can't allocate memory" in what:
        _show(error, "out of memory; a smaller data.batch_size, data.image_size or, for translate, picture needs less")
        return 1
    traceback.print_exception(error)
    plea = "please report the lines above, with what `mdtranslate info` prints"
    click.echo(f"mdtranslate failed in a way that it should not: {plea}", err=True)
    return 1


def _colour() -> bool | None:
    """False where NO_COLOR is set (https://no-color.org); None: as click finds, in colour on terminals alone."""
    return False if os.environ.get("NO_COLOR") else None


def _show(error: BaseException, message: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    for line in message.splitlines():
        click.secho("error: ", fg="red", nl=False, err=True, color=_colour())
        click.echo(line, err=True)
