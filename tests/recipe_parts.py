"""Generators that recipes of tests pick, the fixture that registers them, and what --dry-run says."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from mdtranslate import Choice, Generator, Settings, hookimpl
from mdtranslate.config.recipes import Resolved
from mdtranslate.config.registry import Registry, registry


class Bank(Generator):
    """One generator inside another, as a bank of them is configured."""

    name = "test-bank"

    class Config(Settings):
        of: Choice[Generator] = Field(description="the generator inside")
        copies: int = Field(2, ge=1, description="how many")

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image


class Plain(Generator):
    """A generator whose settings are unlike StarGAN's."""

    name = "test-plain"

    class Config(Settings):
        depth: int = Field(3, ge=1, le=9, description="layers")
        kinds: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="lists by name")

    def __init__(self, config: Any, *, encoder: Any, image_size: int) -> None:
        if config.depth == 8:
            raise ValueError("8 is\nnot for pictures of 64")
        if config.depth == 9:
            raise SystemExit("gone")
        super().__init__(config, encoder=encoder, image_size=image_size)

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image


@pytest.fixture(scope="module", autouse=True)
def more_generators() -> Iterator[Registry]:
    registry.cache_clear()
    plugin = registry().register(
        SimpleNamespace(__name__="tests", register_backbones=hookimpl(lambda: [Bank, Plain])), "tests"
    )
    assert plugin.errors == []
    yield registry()
    registry.cache_clear()


BANK = 'generator={name = "test-bank", of = {name = "test-plain", depth = 5}}'


def origins(resolved: Resolved) -> dict[str, str]:
    """What `--dry-run` says of each setting: the place it came from."""
    lines = [line.rpartition("  # ") for line in resolved.explain().splitlines()]
    return {text.partition("=")[0]: origin for text, _, origin in lines}
