"""Demos that answer on this machine, and runs for them that nobody trained."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from kills import OVERRIDES
from PIL import Image
from tiny import tiny_model, tiny_translator
from translators import ScoreOnlyDiscriminator, translator_with

from mdtranslate import Translator
from mdtranslate.cli.serve import open_socket
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.recipe_datasets import attributes_by_dataset, build_datasets
from mdtranslate.serve.app import create_app
from mdtranslate.serve.demo import Demo


class Answer(NamedTuple):
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A demo that answers."""

    def __init__(self, demo: Demo, port: int) -> None:
        self.demo, self.port = demo, port

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
        """GET, or POST where there is a body; an iterable is sent in chunks, its length unannounced."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        chunked = body is not None and not isinstance(body, bytes)
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers, encode_chunked=chunked)
        got = connection.getresponse()
        answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        connection.close()
        return answer


@contextmanager
def serving(demo: Demo) -> Iterator[Served]:
    with open_socket(0) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(demo), log_level="critical", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield Served(demo, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def make_run(folder: Path, *overrides: str) -> Path:
    """A run's folder as training leaves it, with a translator at random."""
    folder.mkdir()
    resolved = resolve("stargan", [*OVERRIDES, *overrides])
    RunFolder(folder).write_recipe(resolved)
    tiny_translator(attributes_by_dataset(build_datasets(resolved.recipe)), image_size=32).save(folder / "translator")
    return folder


def mute() -> Translator:
    """A translator whose discriminator does not classify, so that attributes cannot be inferred."""
    label_encoder = tiny_model().label_encoder
    discriminator = ScoreOnlyDiscriminator(SimpleNamespace(), label_encoder=label_encoder, image_size=16)
    return translator_with(discriminator=discriminator)


def png(seed: int = 0, width: int = 40, height: int = 32, kind: str = "PNG") -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()
