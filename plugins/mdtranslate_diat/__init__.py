"""DIAT (Li et al. 2016), one generator per attribute value: recipes of components of other plugins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdtranslate import hookimpl


@hookimpl
def register_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
