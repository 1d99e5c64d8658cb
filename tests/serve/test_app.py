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
from kills import TINY
from PIL import Image
from served import Answer, Served, png, serving
from tiny import tiny_translator

from mdtranslate import Translator
from mdtranslate.config.recipes import resolve
from mdtranslate.config.run_dir import RunFolder
from mdtranslate.data.source import attributes_of, build_sources
from mdtranslate.serve import app as application
from mdtranslate.serve.demo import Demo
from mdtranslate.utils.image_io import decode


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
    assert model["largest"] == 10_000_000 and len(model["samples"]) == 8
    assert served.ask("/api/samples/7").body.startswith(b"\x89PNG")


def test_a_picture_is_translated(served: Served) -> None:
    for content in (png(), png(kind="JPEG"), png(kind="WEBP")):
        source = served.ask("/api/look", content).json["source"]
        words = "&".join(f"from={name}%3D{value}" for name, value in source.items())
        made = served.ask(f"/api/translate?set=hair%3DBlond_Hair&{words}", content).json
        assert {*made} == {"original", "translated"} and made["original"] != made["translated"]


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("/api/look?from=hear=none", 400, "no attribute is called 'hear': did you mean 'hair'?"),
        ("/api/look?from=hair", 400, "from hair: write from NAME=VALUE"),
        ("/api/look?from=hair=none&from=hair=none", 400, "hair is given twice"),
        ("/api/look?dataset=avatar", 400, "no dataset is called 'avatar': did you mean 'avatars'?"),
        ("/api/look?set=hair=none", 400, "'set' is not asked for here"),
        ("/api/translate", 400, "nothing to change; what can be set: hair="),
        ("/api/translate?set=hair=green", 400, "'green' is no value of hair"),
        ("/api/translate?ste=hair=green", 400, "'ste' is not asked for here: did you mean 'set'?"),
        ("/api/translate?set=a%0Ab=c", 400, "no attribute is called"),
        ("/api/look?from=Eyeglasses=maybe", 400, "'maybe' is no value of Eyeglasses"),
        ("/api/nothing", 404, "POST /api/nothing: nothing answers to that"),
        ("/api/model", 405, "POST /api/model: nothing answers to that"),
    ],
)
def test_what_cannot_be_meant(served: Served, path: str, code: int, line: str) -> None:
    assert line in refused(served.ask(path, png()), code)


def test_what_is_not_there(served: Served) -> None:
    assert "there is no test picture '8'" in refused(served.ask("/api/samples/8"), 404)
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
    refused(served.ask("/api/look"), 405)
    refused(served.ask("/", method="DELETE"), 405)


def test_only_pictures_are_taken(served: Served) -> None:
    bomb = b"P6 60000 60000 255 " + bytes(1000)
    for content in (b"words", png()[:300], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", bomb, b"GIF89a" + bytes(100)):
        for what in ("look", "translate?set=hair=Blond_Hair"):
            assert refused(served.ask(f"/api/{what}", content), 415).startswith("picture: ")
    assert "pixels" in refused(served.ask("/api/look", bomb), 415)
    assert "there is no picture" in refused(served.ask("/api/look", b""), 400)


def test_a_picture_has_at_most_40_million_pixels(served: Served) -> None:
    file = BytesIO()
    Image.new("1", (8000, 5001)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    said = refused(served.ask("/api/look", file.getvalue()), 415)
    assert said == "picture: 8000 x 5001 pixels are too many: 40,000,000 are allowed; scale it down"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_files_that_are_not_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "pets"
    for name in (b"train/cat/0.png", b"train/dog/0.png", b"test/cat/caf\xe9.png", b"test/dog/0.png"):
        file = root / os.fsdecode(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png())
    small = [each for each in TINY if not each.startswith("datasets.")]
    resolved = resolve("stargan", [*small, f'datasets={{pets={{name="folder", root="{root}"}}}}'])
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").write_recipe(resolved)
    translator = tiny_translator(attributes_of(build_sources(resolved.recipe)), image_size=32)
    with serving(Demo(translator, tmp_path / "run")) as served:
        answer = served.ask("/api/model")
        assert answer.code == 200 and b"test/cat/caf\\udce9.png" in answer.body
        assert [each["key"] for each in answer.json["samples"]] == [
            os.fsdecode(b"test/cat/caf\xe9.png"),
            "test/dog/0.png",
        ]
        monkeypatch.setattr(served.demo, "look", lambda *_: decode(root / os.fsdecode(b"caf\xe9.png")))
        assert refused(served.ask("/api/look", png()), 415).endswith("caf\udce9.png: no such file or directory")


def test_a_picture_is_at_most_10_mb(served: Served) -> None:
    whole = png() + bytes(10_000_000 - len(png()))  # What follows a PNG is not its own.
    assert served.ask("/api/look", whole).code == 200
    assert "more than 10 MB" in refused(served.ask("/api/look", iter([whole, b"x"])), 413)
    with socket.create_connection(("127.0.0.1", served.port)) as line:  # It is answered before it is sent.
        line.sendall(b"POST /api/look HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000001\r\n\r\n")
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 413")
    assert served.ask("/api/look", iter([png()])).code == 200


def test_a_visitor_who_hangs_up_or_waits_disturbs_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "SECONDS", 0.2)
    begun = b"POST /api/look HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"
    for _ in range(application.WAITING):
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            line.sendall(begun)
    while (answer := served.ask("/api/look", png())).code == 429:  # Until it is seen that they have gone.
        refused(answer, 429)
    assert answer.code == 200
    with socket.create_connection(("127.0.0.1", served.port)) as line:
        line.sendall(begun)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 408")
    assert served.ask("/api/look", png()).code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.0.1", "[", ""]
)
def test_only_its_own_names_are_answered(served: Served, host: str) -> None:
    for path in ("/", "/api/model", "/api/nothing"):
        refused(served.ask(path, Host=host), 421)


def test_other_sites_are_not_answered(served: Served) -> None:
    for origin in ("http://evil.example", "null", "http://localhost", f"https://127.0.0.1:{served.port}"):
        assert origin in refused(served.ask("/api/look", png(), Origin=origin), 403)
    assert served.ask("/api/look", png(), Origin=served.address).code == 200
    own = {"Origin": "http://localhost:9000", "Host": "localhost:9000"}  # As through a tunnel.
    answer = served.ask("/api/look", png(), **own)
    assert answer.code == 200 and not any(name.startswith("access-control") for name in answer.headers)


def test_few_wait_and_the_rest_is_told_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    look = served.demo.look

    def slow(*given: Any) -> Any:
        begun.set()
        go_on.wait(60)
        return look(*given)

    monkeypatch.setattr(served.demo, "look", slow)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(served.ask("/api/look", png())))
        for _ in range(application.WAITING)
    ]
    threads[0].start()
    assert begun.wait(60)
    for each in threads[1:]:
        each.start()
    # Those that wait cannot be seen from outside: one more is let in until they are there.
    last = served.ask("/api/translate", b"")
    while last.code != 429:
        last = served.ask("/api/translate", b"")
    assert "busy" in refused(last, 429) and last.headers["retry-after"] == "1"
    assert served.ask("/api/model").code == 200
    go_on.set()
    for each in threads:
        each.join()
    assert [each.code for each in answers] == [200] * application.WAITING
    assert served.ask("/api/look", png()).code == 200


def test_a_bug_is_one_line_too(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr(served.demo, "look", fail)
    answer = served.ask("/api/look", png())
    assert refused(answer, 500) == "this failed in a way that it should not: by nought"
    assert "content-security-policy" in answer.headers
    assert "ZeroDivisionError: by" in capsys.readouterr().err
