"""`mdtranslate serve` in a process of its own: what it says, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mdtranslate.cli import serve
from mdtranslate.errors import CheckpointError, PluginError, RecipeError


def failure(kind: type[Exception], *arguments: str) -> str:
    result = CliRunner().invoke(serve.command, ["--no-browser", *arguments])
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_answers_until_it_is_ended(run: Path, number: int, code: int) -> None:
    # A shell that starts something beside itself has it ignore Ctrl-C; here it is typed.
    words = [sys.executable, "-m", "mdtranslate", "serve", str(run), "--port", "0", "--no-browser", "--device", "cpu"]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout is not None and process.stderr is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:") and address.endswith("/"), process.stderr.read()
            line = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=60)
            line.request("GET", "/")
            assert b"mdtranslate" in line.getresponse().read()
            process.send_signal(number)  # The line is still open.
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err.split()) == (code, "", ["stop", "it", "with", "Ctrl-C", "stopped"])


def test_a_port_that_is_taken_is_named(run: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        message = failure(RecipeError, str(run), "--port", str(port))
    assert message.startswith(f"--port {port}: ") and "--port 0" in message


def test_the_second_server_on_a_port_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve.open_socket(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(RecipeError, match=f"--port {port}: .*choose another"):
            serve.open_socket(port)

    def late(self: socket.socket, *_: Any) -> None:
        raise OSError(98, "Address already in use")  # Both have bound it, and the other listens already.

    monkeypatch.setattr(socket.socket, "listen", late)
    with pytest.raises(RecipeError, match="--port 0: address already in use; choose another"):
        serve.open_socket(0)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert failure(CheckpointError, str(tmp_path), "--port", "0").startswith(f"{tmp_path}: ")


def test_without_the_extra_it_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "fastapi" else object())
    assert failure(PluginError, str(run)) == "serve needs fastapi: pip install 'mdtranslate[serve]'"


def test_only_a_browser_of_the_desktop_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    opened: list[str] = []

    class Desktop(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    def none(*_: Any) -> Any:
        raise webbrowser.Error("no browser")

    for get in (none, lambda: webbrowser.GenericBrowser("lynx"), lambda: Desktop("desktop")):
        monkeypatch.setattr("webbrowser.get", get)
        serve.open_browser("http://127.0.0.1:8000/")
    assert opened == ["http://127.0.0.1:8000/"]
