"""Generators for recipes in tests, a fixture that registers them, and the origins that --dry-run prints."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from mdtranslate import Choice, Generator, Settings, hookimpl
from mdtranslate.config.recipe_loader import ResolvedRecipe
from mdtranslate.config.registry import Registry, registry


class Bank(Generator):
    """A generator with a nested generator."""

    name = "test-bank"

    class Config(Settings):
        of: Choice[Generator] = Field(description="the nested generator")
        copies: int = Field(2, ge=1, description="number of copies")

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image


class Plain(Generator):
    """A generator whose settings are unlike StarGAN's."""

    name = "test-plain"

    class Config(Settings):
        depth: int = Field(3, ge=1, le=9, description="layers")
        kinds: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="lists by name")

    def __init__(self, config: Any, *, label_encoder: Any, image_size: int) -> None:
        if config.depth == 8:
            raise ValueError("8 is\nnot for images of 64")
        if config.depth == 9:
            raise SystemExit("gone")
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)

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


def origins(resolved: ResolvedRecipe) -> dict[str, str]:
    """Returns the origin of each setting, as `--dry-run` prints it."""
    lines = [line.rpartition("  # ") for line in resolved.explain().splitlines()]
    return {text.partition("=")[0]: origin for text, _, origin in lines}
