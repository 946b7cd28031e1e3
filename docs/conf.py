"""Sphinx's settings: `scripts/docs.sh` builds the site, warnings being errors."""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_vit.version import __version__  # noqa: E402

project, author = "keras_vit", "The keras_vit authors"
copyright = f"{author}, Apache-2.0"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_heading_anchors = 3
nb_execution_mode = "off"  # a test runs the notebooks; the site shows what they said
exclude_patterns = ["_build"]

html_theme = "pydata_sphinx_theme"
html_title = f"keras_vit {__version__}"
html_theme_options = {"show_toc_level": 2, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature and the docstring say them
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True  # attributes of a dataclass are described once


def _as_text(app, what, name, obj, options, lines):
    """Docstrings are plain words with `code`: their stars are stars."""
    lines[:] = [re.sub(r"(?<!\\)([*|])", r"\\\1", line) for line in lines]
    lines[:] = [re.sub(r"`[^`]*`", lambda code: code[0].replace("\\", ""), line) for line in lines]


def setup(app):
    """Sphinx's hook."""
    app.connect("autodoc-process-docstring", _as_text, priority=400)  # before napoleon
