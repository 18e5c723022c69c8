"""One HTML page of pictures that belong together: input, translation, attention, …

The page holds everything and loads nothing, so that it opens straight from disk and can be sent by
itself. A row opens large with a click or Enter; arrow keys, j and k, or a swipe lead to the next.
`index.html#3` is its third row.
"""

import base64
import functools
import html
import importlib.resources
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template

import numpy as np
from PIL import Image

from ugatit_jax.data.storage import AnyPath, write_atomically

LONGEST_SIDE = 320  # px, of the pictures in a page
_QUALITY = 90  # of WebP: 5 to 20 kB per picture
_SMALL = 128  # px: up to here pictures are kept exactly; enlarged, every artefact would be seen


@dataclass(frozen=True)
class GalleryRow:
    """One line of a gallery: pictures that belong together, uint8 [h, w, 3], by their captions."""

    name: str
    pictures: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class GallerySection:
    """Rows of pictures that belong together, below their tables of scores and a sentence on them.

    The rows are taken once, one after the other: a generator may load each from disk. Of a table
    the first line is the header, and the first column the names of the lines. plots: SVG files, by
    what they show; panels: small ones, side by side where there is room. whole: files of PNG or
    WebP, by caption, shown as they are. folded: hidden until somebody asks.
    """

    rows: Iterable[GalleryRow]
    tables: Sequence[Sequence[Sequence[str]]] = ()
    text: str = ""
    plots: Mapping[str, bytes] = field(default_factory=dict)
    panels: Mapping[str, bytes] = field(default_factory=dict)
    whole: Mapping[str, bytes] = field(default_factory=dict)
    folded: bool = False


def write_gallery(
    path: AnyPath,
    title: str,
    sections: Mapping[str, GallerySection],
    summary: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the page, all of it or nothing; its folders are made.

    sections: by the title above them. summary: paragraphs printed on top. notes: at the end.
    Pictures are shown at `LONGEST_SIDE` px at most; those larger than 128 px lose some detail.
    """
    numbers = itertools.count(1)
    page = _template().substitute(
        title=html.escape(title),
        summary=_paragraphs(summary),
        sections="\n".join(
            _section_html(name, section, numbers) for name, section in sections.items()
        ),
        notes=f"<footer>\n{_paragraphs(notes)}\n</footer>" if notes else "",
    )
    write_atomically(path, page)


@functools.cache
def _template() -> Template:
    file = importlib.resources.files("ugatit_jax.viewing") / "gallery.html"
    return Template(file.read_text(encoding="utf-8"))


def _paragraphs(lines: Sequence[str]) -> str:
    return "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _table_html(table: Sequence[Sequence[str]]) -> str:
    header, *lines = table
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "\n".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in lines
    )
    return (
        f'<div class="scores"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _section_html(title: str, section: GallerySection, numbers: Iterator[int]) -> str:
    heading = f"<h2>{html.escape(title)}</h2>"
    parts = [*map(_table_html, section.tables)]
    parts += [_paragraphs([section.text])] if section.text else []
    parts += [_plot_html(*plot) for plot in section.plots.items()]
    if section.panels:
        panels = (
            _whole_html(what, svg, f"{title}: {what}") for what, svg in section.panels.items()
        )
        parts += ['<div class="panels">', *panels, "</div>"]
    parts += [_whole_html(what, file, what) for what, file in section.whole.items()]
    parts += [_row_html(row, next(numbers)) for row in section.rows]
    if section.folded:
        parts = ["<details>", f"<summary>{heading}</summary>", *parts, "</details>"]
    else:
        parts = [heading, *parts]
    return "\n".join(["<section>", *parts, "</section>"])


def _plot_html(what: str, svg: bytes) -> str:
    return f'<img class="plot" alt="{html.escape(what)}" src="{_address(svg)}">'


def _whole_html(caption: str, file: bytes, what: str) -> str:
    return (
        f'<figure class="whole"><img alt="{html.escape(what)}" src="{_address(file)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _address(file: bytes) -> str:
    """Return a file of PNG, WebP or SVG as an address that holds all of it."""
    kinds = {b"\x89PNG": "png", b"RIFF": "webp"}
    kind = kinds.get(file[:4], "svg+xml")
    return f"data:image/{kind};base64,{base64.b64encode(file).decode('ascii')}"


def _row_html(row: GalleryRow, number: int) -> str:
    name, count = html.escape(row.name), len(row.pictures)
    figures = "\n".join(_figure_html(row.name, *item) for item in row.pictures.items())
    return (
        f'<article id="{number}">\n<h3>{name}</h3>\n'
        f'<a class="row of{count}" style="--columns: {max(4, count)}" href="#{number}" '
        f'aria-label="Enlarge {name}">\n{figures}\n</a>\n</article>'
    )


def _figure_html(name: str, caption: str, image: np.ndarray) -> str:
    thumbnail = Image.fromarray(image)
    thumbnail.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    exactly = max(thumbnail.size) <= _SMALL
    thumbnail.save(buffer, format="WEBP", lossless=exactly, quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    width, height = thumbnail.size
    return (
        f'<figure><img loading="lazy" decoding="async" width="{width}" height="{height}" '
        f'alt="{html.escape(f"{name}: {caption}")}" src="data:image/webp;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
