"""Animal Faces-HQ for mdtranslate."""

from pathlib import Path

from mdtranslate import hookimpl

mdtranslate_api = 2


@hookimpl
def register_datasets():
    return {"afhq": "mdtranslate_afhq.dataset:AFHQ"}


@hookimpl
def register_recipes():
    return [Path(__file__).parent / "stargan-afhq.toml"]
