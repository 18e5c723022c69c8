"""How Sphinx makes a site of these pages: `sphinx-build -W docs build/docs`, offline."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the program of this checkout, whatever is installed

import ugatit_jax  # noqa: E402

project = "ugatit_jax"
version = release = ugatit_jax.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3  # as GitHub has them, so that links to headings are checked
autodoc_typehints = "description"
autodoc_typehints_format = "short"
smartquotes = False  # options begin with two hyphens
html_theme = "furo"
html_title = f"ugatit_jax {version}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False

# To a file of the repository, which GitHub shows and the site has not.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def show_front_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Make the README the site's first page, and links to it links to that page."""
    if page == "index":
        _, contents = source[0].split("```", 1)
        app.env.note_dependency(str(ROOT / "README.md"))  # a later build reads it again
        readme = re.sub(r"\]\((?!https:|docs/|#)", "](../", (ROOT / "README.md").read_text())
        source[0] = f"{readme.replace('](docs/', '](')}\n```{contents}"
    source[0] = source[0].replace("](../README.md", "](index.md")


def name_files_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Make of a link out of docs/ the name of what it leads to; a broken one is a warning."""

    def name(link: re.Match[str]) -> str:
        text, path = link.groups()
        if not (ROOT / path).exists():
            logging.getLogger(__name__).warning("%s links to %s, which is not there", page, path)
        return f"`{path}`" if text.strip("`") in path else f"{text} (`{path}` of the repository)"

    source[0] = _OUTSIDE.sub(name, source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", show_front_page)
    app.connect("source-read", name_files_outside)
