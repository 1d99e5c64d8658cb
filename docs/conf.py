"""How Sphinx builds the documentation: `sphinx-build -W -b html docs docs/_build`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from mdtranslate import __version__

project = "mdtranslate"
author = "The mdtranslate developers"
copyright = "the mdtranslate developers, MIT"
version = release = __version__

extensions = ["myst_parser", "reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "examples"]
myst_heading_anchors = 3
highlight_language = "none"

html_theme = "furo"
html_title = f"mdtranslate {version}"
html_show_sphinx = False
html_static_path: list[str] = []
