"""The demo over HTTP: whatever is wrong is one line, and nothing is answered to other machines or other sites."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kills import OVERRIDES
from PIL import Image
from served import Answer, Served, png, serving
from tiny import tiny_translator

from mdtranslate import Translator
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.recipe_datasets import attributes_by_dataset, build_datasets
from mdtranslate.serve import app as application
from mdtranslate.serve.demo import Demo
from mdtranslate.utils.image_io import read_image


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[Served]:
    with serving(Demo(Translator.load(run), run)) as served:
        yield served


def refused(answer: Answer, code: int) -> str:
    """The one line of an answer that is a refusal."""
    assert answer.code == code, answer
    assert [*answer.json] == ["error"]
    line: str = answer.json["error"]
    assert line and "\n" not in line and "Traceback" not in line
    return line


def test_the_page_and_its_parts(served: Served) -> None:
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript"), ("/ask.js", "javascript")):
        answer = served.ask(path)
        assert answer.code == 200 and kind in answer.headers["content-type"]
        assert b"//" not in answer.body.replace(b"// ", b"") or b"http" not in answer.body, "an address"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    model = served.ask("/api/model").json
    assert model["max_bytes"] == 10_000_000 and len(model["samples"]) == 8
    assert served.ask("/api/samples/7").body.startswith(b"\x89PNG")


def test_an_image_is_translated(served: Served) -> None:
    for content in (png(), png(kind="JPEG"), png(kind="WEBP")):
        source = served.ask("/api/inspect", content).json["source"]
        words = "&".join(f"from={name}%3D{value}" for name, value in source.items())
        translated = served.ask(f"/api/translate?set=hair%3DBlond_Hair&{words}", content).json
        assert {*translated} == {"original", "translated"} and translated["original"] != translated["translated"]


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("/api/inspect?from=hear=none", 400, "'hear': did you mean 'hair'?"),
        ("/api/inspect?from=hair", 400, "from hair: write from NAME=VALUE"),
        ("/api/inspect?from=hair=none&from=hair=none", 400, "hair is set twice"),
        ("/api/inspect?dataset=avatar", 400, "'avatar': did you mean 'avatars'?"),
        ("/api/inspect?set=hair=none", 400, "query parameter 'set'"),
        ("/api/translate", 400, "hair=Black_Hair|"),
        ("/api/translate?set=hair=green", 400, "hair has no value 'green'"),
        ("/api/translate?ste=hair=green", 400, "'ste': did you mean 'set'?"),
        ("/api/translate?set=a%0Ab=c", 400, "attribute 'a\\nb'"),
        ("/api/inspect?from=Eyeglasses=maybe", 400, "Eyeglasses has no value 'maybe'"),
        ("/api/nothing", 404, "POST /api/nothing: "),
        ("/api/model", 405, "POST /api/model: "),
    ],
)
def test_what_cannot_be_meant(served: Served, path: str, code: int, line: str) -> None:
    assert line in refused(served.ask(path, png()), code)


def test_missing_pages_and_samples(served: Served) -> None:
    assert "test image '8'" in refused(served.ask("/api/samples/8"), 404)
    for path in (
        "/api/samples/-1",
        "/api/samples/x",
        "/api/samples/" + "1" * 5000,
        "/api/samples/%C2%B2",
        "/../pyproject.toml",
        "/docs",
        "/page.html",
    ):
        refused(served.ask(path), 404)
    refused(served.ask("/api/inspect"), 405)
    refused(served.ask("/", method="DELETE"), 405)


def test_only_images_are_accepted(served: Served) -> None:
    bomb = b"P6 60000 60000 255 " + bytes(1000)
    for content in (b"words", png()[:300], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", bomb, b"GIF89a" + bytes(100)):
        for what in ("inspect", "translate?set=hair=Blond_Hair"):
            assert refused(served.ask(f"/api/{what}", content), 415).startswith("image: ")
    assert "pixels" in refused(served.ask("/api/inspect", bomb), 415)
    assert "empty" in refused(served.ask("/api/inspect", b""), 400)


def test_an_image_has_at_most_40_million_pixels(served: Served) -> None:
    file = BytesIO()
    Image.new("1", (8000, 5001)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    line = refused(served.ask("/api/inspect", file.getvalue()), 415)
    assert line == "image: 8000 x 5001 pixels are too many: 40,000,000 are allowed; scale it down"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_files_that_are_not_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "pets"
    for name in (b"train/cat/0.png", b"train/dog/0.png", b"test/cat/caf\xe9.png", b"test/dog/0.png"):
        file = root / os.fsdecode(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png())
    small = [each for each in OVERRIDES if not each.startswith("datasets.")]
    resolved = resolve("stargan", [*small, f'datasets={{pets={{name="folder", root="{root}"}}}}'])
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").write_recipe(resolved)
    translator = tiny_translator(attributes_by_dataset(build_datasets(resolved.recipe)), image_size=32)
    with serving(Demo(translator, tmp_path / "run")) as served:
        answer = served.ask("/api/model")
        assert answer.code == 200 and b"test/cat/caf\\udce9.png" in answer.body
        assert [each["key"] for each in answer.json["samples"]] == [
            os.fsdecode(b"test/cat/caf\xe9.png"),
            "test/dog/0.png",
        ]
        monkeypatch.setattr(served.demo, "inspect", lambda *_: read_image(root / os.fsdecode(b"caf\xe9.png")))
        assert refused(served.ask("/api/inspect", png()), 415).endswith("caf\udce9.png: no such file or directory")


def test_an_upload_has_at_most_10_mb(served: Served) -> None:
    whole = png() + bytes(10_000_000 - len(png()))  # What follows a PNG is not its own.
    assert served.ask("/api/inspect", whole).code == 200
    assert "more than 10 MB" in refused(served.ask("/api/inspect", iter([whole, b"x"])), 413)
    with socket.create_connection(("127.0.0.1", served.port)) as line:  # It is answered before it is sent.
        line.sendall(b"POST /api/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000001\r\n\r\n")
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 413")
    assert served.ask("/api/inspect", iter([png()])).code == 200


def test_a_visitor_who_hangs_up_or_waits_disturbs_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "UPLOAD_TIMEOUT", 0.2)
    begun = b"POST /api/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"
    for _ in range(application.MAX_REQUESTS):
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            line.sendall(begun)
    while (answer := served.ask("/api/inspect", png())).code == 429:  # Until it is seen that they have gone.
        refused(answer, 429)
    assert answer.code == 200
    with socket.create_connection(("127.0.0.1", served.port)) as line:
        line.sendall(begun)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 408")
    assert served.ask("/api/inspect", png()).code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.0.1", "[", ""]
)
def test_only_local_host_names_are_answered(served: Served, host: str) -> None:
    for path in ("/", "/api/model", "/api/nothing"):
        refused(served.ask(path, Host=host), 421)


def test_other_sites_are_not_answered(served: Served) -> None:
    for origin in ("http://evil.example", "null", "http://localhost", f"https://127.0.0.1:{served.port}"):
        assert origin in refused(served.ask("/api/inspect", png(), Origin=origin), 403)
    assert served.ask("/api/inspect", png(), Origin=served.address).code == 200
    headers = {"Origin": "http://localhost:9000", "Host": "localhost:9000"}  # As through a tunnel.
    answer = served.ask("/api/inspect", png(), **headers)
    assert answer.code == 200 and not any(name.startswith("access-control") for name in answer.headers)


def test_too_many_requests_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, proceed = threading.Event(), threading.Event()
    inspect = served.demo.inspect

    def slow(*arguments: Any) -> Any:
        begun.set()
        proceed.wait(60)
        return inspect(*arguments)

    monkeypatch.setattr(served.demo, "inspect", slow)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(served.ask("/api/inspect", png())))
        for _ in range(application.MAX_REQUESTS)
    ]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    # Those that wait cannot be seen from outside: one more is let in until they are there.
    last = served.ask("/api/translate", b"")
    while last.code != 429:
        last = served.ask("/api/translate", b"")
    assert "busy" in refused(last, 429) and last.headers["retry-after"] == "1"
    assert served.ask("/api/model").code == 200
    proceed.set()
    for thread in threads:
        thread.join()
    assert [each.code for each in answers] == [200] * application.MAX_REQUESTS
    assert served.ask("/api/inspect", png()).code == 200


def test_a_bug_is_one_line_too(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr(served.demo, "inspect", fail)
    answer = served.ask("/api/inspect", png())
    assert refused(answer, 500).endswith(": by nought")
    assert "content-security-policy" in answer.headers
    assert "ZeroDivisionError: by" in capsys.readouterr().err
