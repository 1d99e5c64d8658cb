"""The embedded default dataset: portraits that are drawn, so that a first run needs no download and no network."""

from mdtranslate import hookimpl


@hookimpl
def register_datasets() -> dict[str, str]:
    return {"avatars": "mdtranslate_avatars.dataset:Avatars"}
