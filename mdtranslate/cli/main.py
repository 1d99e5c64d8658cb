"""The `mdtranslate` command: lists the subcommands, and turns errors into one line and an exit code."""

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
from mdtranslate.errors import MdtranslateError, describe_error
from mdtranslate.utils.process import termination_signals

# When a peer process dies, torch would print a page of log messages; our error message has what matters.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
# torch's compiler logs what looks like an error on machines without a GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

COMMANDS = {
    "run": "Train a recipe, or resume a run.",
    "doctor": "Check the datasets of a recipe before training.",
    "translate": "Translate images with a trained run.",
    "serve": "Serve a demo of a trained run in the browser.",
    "evaluate": "Evaluate a trained run on its test images.",
    "bench": "Train and evaluate several methods, and compare them.",
    "import": "Convert a published checkpoint of another project.",
    "export": "Export a generator to ONNX or torch.export.",
    "models": "List the trained models of plugins, or print a model card.",
    "push": "Share a trained model.",
    "pull": "Download a shared model.",
    "new": "Create a plugin package with a new component.",
    "plugins": "List plugins, or describe or check a component.",
    "data": "List, verify or clear the image cache.",
    "info": "Print versions, devices and plugins for bug reports.",
    "completion": "Print a shell completion script.",
}
"""The commands with their summaries."""


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used, so that `--help` does not import torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = "importing" if name == "import" else name  # A module cannot have the name of a keyword.
        command: click.Command = import_module(f"mdtranslate.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Load a plugin from a .py file; repeatable.",
)
@click.option("--debug", is_flag=True, help="Print tracebacks of errors.")
@click.version_option(__version__, message="mdtranslate %(version)s")
@click.pass_context
def cli(ctx: click.Context, plugins: tuple[Path, ...], debug: bool) -> None:
    """Multi-domain image-to-image translation.

    To start, run `mdtranslate run stargan`: it trains on generated images within minutes on a CPU.
    """
    if plugins:
        from mdtranslate.config.registry import set_plugin_files

        set_plugin_files(plugins)


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line and exits with the exit code of `mdtranslate.errors`.

    Args:
        arguments: Command-line arguments; those of the process if left out.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # File names may have characters that the encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    for signal_number in termination_signals():
        signal.signal(signal_number, _raise_terminated)
    try:
        try:
            cli.main(arguments, prog_name="mdtranslate", standalone_mode=False, color=_color())
        except SystemExit as error:  # From click, for a closed pipe, or from a plugin.
            sys.exit(_report_unexpected(error) if _plugin_at_fault(error) else error.code)
        sys.exit(0)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()  # Prints the help.
        else:
            message = " ".join(error.format_message().split()).rstrip(".")
            _print_error(error, f"{message}; see {context.command_path} --help" if context is not None else message)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except _Terminated as termination:
        click.echo("stopped", err=True)
        sys.exit(128 + termination.signal_number)
    except MdtranslateError as error:
        _print_error(error, str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        sys.exit(_report_unexpected(error))


class _Terminated(BaseException):
    """A termination signal outside training: raised so that half-written files are removed, as after Ctrl-C."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


def _raise_terminated(signal_number: int, frame: FrameType | None) -> None:
    raise _Terminated(signal_number)


def _plugin_at_fault(error: BaseException) -> Any:
    """Returns the third-party plugin whose code raised an error, or None."""
    registry = sys.modules.get("mdtranslate.config.registry")
    plugin = registry.registry().plugin_at_fault(error) if registry else None
    return None if plugin is None or plugin.is_builtin else plugin


def _report_unexpected(error: BaseException) -> int:
    """Reports an error other than MdtranslateError: of a plugin, the machine or mdtranslate. Returns the exit code."""
    description = describe_error(error)
    if plugin := _plugin_at_fault(error):
        _print_error(error, f"{plugin} failed: {description} (--debug prints the traceback)")
        return 69
    if isinstance(error, OSError) and error.filename is not None:
        _print_error(error, f"{click.format_filename(error.filename)}: {error.strerror}")
        return 74
    if isinstance(error, MemoryError) or "out of memory" in description or "can't allocate memory" in description:
        _print_error(error, "out of memory; use a smaller data.batch_size, data.image_size or image to translate")
        return 1
    traceback.print_exception(error)
    request = "please report the lines above together with the output of `mdtranslate info`"
    click.echo(f"unexpected error, probably a bug in mdtranslate: {request}", err=True)
    return 1


def _color() -> bool | None:
    """False if NO_COLOR is set (https://no-color.org), else None: click uses color on terminals only."""
    return False if os.environ.get("NO_COLOR") else None


def _print_error(error: BaseException, message: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    for line in message.splitlines():
        click.secho("error: ", fg="red", nl=False, err=True, color=_color())
        click.echo(line, err=True)
