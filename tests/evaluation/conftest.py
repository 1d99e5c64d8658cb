"""A dataset whose answers are known: squares that are red or blue, bright or dark, with a frame or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mdtranslate import hookimpl
from mdtranslate.api import Attribute, Dataset, Record, Split
from mdtranslate.api.dataset import spell
from mdtranslate.config.registry import registry
from mdtranslate.data.source import Source

SIZE = 16


class Squares(Dataset):
    """Every picture has a colour and a frame or none; in every fifth, `framed` is unknown."""

    name = "squares"
    attributes = (Attribute("colour", ("red", "green", "blue")), Attribute("framed"), Attribute("bright"))

    def records(self, split: Split) -> Iterator[Record]:
        for number in range(48 if split is Split.TRAIN else 20):
            colour = ("red", "green", "blue")[number % 3]
            values = {"colour": colour, "framed": number % 2 == 0, "bright": number % 4 < 2}
            known = {name: value for name, value in values.items() if name != "framed" or number % 5}
            shown = "&".join(f"{name}={spell(value)}" for name, value in values.items())
            yield Record(f"{split.value}/{number}?{shown}", None, known)

    def load(self, record: Record) -> np.ndarray:
        shown = dict(re.findall(r"(\w+)=(\w+)", record.key))
        rng = np.random.default_rng(int(re.findall(r"/(\d+)", record.key)[0]))
        picture = rng.integers(0, 30, (SIZE, SIZE, 3), dtype=np.uint8)
        picture[3:-3, 3:-3, ("red", "green", "blue").index(shown["colour"])] += 220 if shown["bright"] == "yes" else 110
        if shown["framed"] == "yes":
            picture[[0, -1]] = picture[:, [0, -1]] = 255
        return picture

    def counterfactual(self, record: Record, attributes: Mapping[str, object]) -> Record | None:
        if record.key.startswith("test/1?"):
            return None  # Of one picture the truth is not known.
        key = record.key
        for name, value in attributes.items():
            key = re.sub(rf"{name}=\w+", f"{name}={spell(value)}", key)
        return Record(key, None, {**record.attributes, **attributes})


class _Plugin:
    @staticmethod
    @hookimpl
    def register_datasets() -> list[type[Dataset]]:
        return [Squares]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def squares() -> Source:
    if "squares" not in registry().names("dataset"):
        plugin = SimpleNamespace(register_datasets=_Plugin.register_datasets, __name__="squares_plugin")
        assert not registry().register(plugin, "squares-plugin").errors
    dataset = Squares(Squares.Config())
    return Source("squares", 0, dataset, dataset.attributes[:2])
