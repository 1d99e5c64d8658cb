"""The embedded default dataset: rendered portraits, so that a first run needs no download; and a model of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdtranslate import hookimpl


@hookimpl
def register_datasets() -> dict[str, str]:
    return {"avatars": "mdtranslate_avatars.dataset:Avatars"}


@hookimpl
def register_models() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "models").glob("[!.]*/"))
