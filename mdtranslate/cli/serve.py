"""`mdtranslate serve`: a page on this machine that shows what a trained run does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

ADDRESS = "127.0.0.1"


@click.command("serve")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port of the page; 0: any free one."
)
@click.option("--no-browser", is_flag=True, help="Print the page's address only.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
def command(run: Path, port: int, no_browser: bool, device: str) -> None:
    """Show what the trained RUN does, on a page that only this machine can open.

    A picture of one's own, or a test picture of the run, beside its translation; every edit; and how good the model is.
    No picture leaves the machine, and none is written to its disk. Ctrl-C ends it.
    """
    from importlib.util import find_spec

    from mdtranslate.errors import PluginError

    if missing := [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]:
        raise PluginError(f"serve needs {' and '.join(missing)}: pip install 'mdtranslate[serve]'")
    with listening(port) as listener:
        import uvicorn

        from mdtranslate.inference.translator import Translator
        from mdtranslate.serve.app import make_app
        from mdtranslate.serve.demo import Demo
        from mdtranslate.utils.device import pick_device

        demo = Demo(Translator.load(run, pick_device(device)), run)
        # It says nothing of its own: not of requests, nor of those that Ctrl-C cuts off.
        config = uvicorn.Config(
            make_app(demo),
            log_level="critical",
            access_log=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        address = f"http://{ADDRESS}:{listener.getsockname()[1]}/"
        click.echo(address)
        click.echo("Ctrl-C ends it", err=True)
        if not no_browser:
            show(address)
        uvicorn.Server(config).run(sockets=[listener])


def listening(port: int) -> socket.socket:
    """A socket on this machine's own address, where a browser waits from now on until it is answered.

    Raises `RecipeError` for a port that cannot be had.
    """
    from mdtranslate.errors import RecipeError

    listener = socket.socket()
    try:
        if os.name == "posix":  # A page that was closed a moment ago holds no port. Windows means another thing by it.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen()  # Two that begin at once may both bind.
    except OSError as error:
        listener.close()
        what = (error.strerror or str(error)).lower()
        raise RecipeError(f"--port {port}: {what}; choose another, or --port 0 for any that is free") from None
    return listener


def show(address: str) -> None:
    """Opens the page in the browser of the desktop, where there is one; one that fills the terminal is not meant."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)
