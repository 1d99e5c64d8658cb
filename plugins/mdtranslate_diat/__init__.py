"""DIAT (Li et al. 2016): one generator for each value of an attribute. Everything it needs is there: it is recipes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdtranslate import hookimpl


@hookimpl
def register_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
