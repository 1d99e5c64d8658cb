"""The embedded default dataset: rendered portraits, so that a first run needs no download."""

from __future__ import annotations

from mdtranslate import hookimpl


@hookimpl
def register_datasets() -> dict[str, str]:
    return {"avatars": "mdtranslate_avatars.dataset:Avatars"}
