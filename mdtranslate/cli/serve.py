"""`mdtranslate serve`: a demo of a trained run in the browser."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from mdtranslate.cli.options import device_option, run_argument

ADDRESS = "127.0.0.1"


@click.command("serve")
@run_argument
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port of the page; 0: any free port."
)
@click.option("--no-browser", is_flag=True, help="Print the address without opening a browser.")
@device_option
def command(run: Path, port: int, no_browser: bool, device: str) -> None:
    """Serve a demo of the trained RUN on a page that only this machine can open.

    It shows an image of yours or a test image beside its translation, all edits, and the results of the evaluation.
    Images stay in memory on this machine. Stop it with Ctrl-C.
    """
    from importlib.util import find_spec

    from mdtranslate.errors import PluginError

    if missing := [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]:
        raise PluginError(f"serve needs {' and '.join(missing)}: pip install 'mdtranslate[serve]'")
    with open_socket(port) as listener:
        import uvicorn

        from mdtranslate.inference.translator import Translator
        from mdtranslate.serve.app import create_app
        from mdtranslate.serve.demo import Demo
        from mdtranslate.utils.device import pick_device

        demo = Demo(Translator.load(run, pick_device(device)), run)
        config = uvicorn.Config(
            create_app(demo),
            log_level="critical",  # Also hides the requests that Ctrl-C interrupts.
            access_log=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        address = f"http://{ADDRESS}:{listener.getsockname()[1]}/"
        click.echo(address)
        click.echo("stop it with Ctrl-C", err=True)
        if not no_browser:
            open_browser(address)
        uvicorn.Server(config).run(sockets=[listener])


def open_socket(port: int) -> socket.socket:
    """Opens a listening socket on the loopback address; browsers can connect to it from now on.

    Args:
        port: The port; 0 for any free one.

    Raises:
        RecipeError: The port is not available.
    """
    from mdtranslate.errors import RecipeError

    listener = socket.socket()
    try:
        if os.name == "posix":  # Reuse the port of a server that just ended. On Windows the option differs.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen()  # Fails if another process is bound too, which SO_REUSEADDR permits.
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise RecipeError(f"--port {port}: {reason}; choose another, or --port 0 for any free port") from None
    return listener


def open_browser(address: str) -> None:
    """Opens a page in a graphical browser, if there is one; a browser in the terminal would hide the output."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)
