"""Pictures for people: attention overlays, sample grids of a training run, and an HTML gallery."""

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ugatit_jax.images import to_uint8

DIRECTION_TITLES = {"a2b": "A to B", "b2a": "B to A"}

_GRID_COLUMNS = ("input", "attention", "translation", "attention", "cycle", "identity")
_GAP = 4  # px between the tiles of a grid
_SMALLEST_TILE = 128  # px: narrower tiles leave no room for their titles
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def attention_overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Where the network looks: the heat map in colour over the greyed picture.

    image: uint8 [h, w, 3]. heatmap: float of any size [h', w'] and any range; its own smallest
    value becomes black, its largest bright yellow, and a constant map is black all over.
    Returns uint8 [h, w, 3].
    """
    height, width = image.shape[:2]
    heat = np.asarray(heatmap, np.float32)
    low, high = heat.min(), heat.max()
    heat = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    heat = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    colour = matplotlib.colormaps["inferno"](heat)[..., :3].astype(np.float32)
    grey = (image.astype(np.float32) / 255 @ _LUMA)[..., None]
    return np.rint(255 * (0.4 * grey + 0.6 * colour)).astype(np.uint8)


def sample_grid(samples: Mapping[str, Mapping[str, np.ndarray]], step: int) -> np.ndarray:
    """One labelled picture of what both generators do: a row per input, the two directions stacked.

    samples: what `train_step.sample` returns, by direction ("a2b", "b2a"): `input`, `translation`,
    `cycle` and `identity`, float [N, h, w, 3] in [-1, 1], `attention` and `cycle_attention`, float
    [N, h', w']. The second attention column is of the generator that translates back.
    Returns uint8 [H, W, 3].
    """
    sections = [_grid_section(DIRECTION_TITLES[name], samples[name]) for name in DIRECTION_TITLES]
    title = _text_strip(sections[0].shape[1], [(0, f"step {step:,}")], size=24)
    grid = np.concatenate([title, *sections])
    return np.pad(grid, ((12, 12), (12, 12), (0, 0)), constant_values=255)


def _grid_section(title: str, sample: Mapping[str, np.ndarray]) -> np.ndarray:
    """The rows of one direction under its titles, uint8 [H, W, 3]."""
    pictures = {
        name: to_uint8(np.asarray(sample[name]))
        for name in ("input", "translation", "cycle", "identity")
    }
    attention = _overlays(pictures["input"], sample["attention"])
    cycle_attention = _overlays(pictures["translation"], sample["cycle_attention"])
    columns = [
        pictures["input"],
        attention,
        pictures["translation"],
        cycle_attention,
        pictures["cycle"],
        pictures["identity"],
    ]
    tiles = np.stack(columns, axis=1)  # [N, 6, h, w, 3]
    scale = max(1, -(-_SMALLEST_TILE // min(tiles.shape[2:4])))
    tiles = tiles.repeat(scale, axis=2).repeat(scale, axis=3)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    rows, count, height, width, _ = tiles.shape
    body = tiles.swapaxes(1, 2).reshape(rows * height, count * width, 3)
    column_titles = [(i * width, text) for i, text in enumerate(_GRID_COLUMNS)]
    return np.concatenate(
        [
            _text_strip(body.shape[1], [(0, title)], size=20),
            _text_strip(body.shape[1], column_titles, size=max(14, width // 12)),
            body,
        ]
    )


def _overlays(images: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    pairs = zip(images, np.asarray(heatmaps), strict=True)
    return np.stack([attention_overlay(image, heatmap) for image, heatmap in pairs])


def _text_strip(width: int, texts: Sequence[tuple[int, str]], size: int) -> np.ndarray:
    """A white strip, uint8 [2 * size, width, 3], with texts of `size` px at the given x."""
    strip = Image.new("RGB", (width, 2 * size), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=size)
    for x, text in texts:
        draw.text((x, size), text, fill="black", font=font, anchor="lm")
    return np.asarray(strip)


def save_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write a uint8 [h, w, 3] picture, all of it or nothing; its folders are made."""
    save_bytes(path, _png(image))


def save_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, all of it or nothing; its folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class GalleryRow:
    """One line of a gallery: pictures that belong together, uint8 [h, w, 3], by their captions."""

    name: str
    pictures: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class GallerySection:
    """Rows of pictures that belong together, below their tables of scores and a sentence on them.

    Of a table the first line is the header, and the first column the names of the lines.
    """

    rows: Sequence[GalleryRow]
    tables: Sequence[Sequence[Sequence[str]]] = ()
    text: str = ""


def write_gallery(
    path: str | os.PathLike[str],
    title: str,
    sections: Mapping[str, GallerySection],
    summary: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write one HTML page with everything in it, to be opened in a browser straight from disk.

    sections: by the title above them. summary: paragraphs printed on top. notes: at the end.
    """
    page = _PAGE.substitute(
        title=html.escape(title),
        summary=_paragraphs(summary),
        sections="\n".join(_section_html(name, section) for name, section in sections.items()),
        notes=f"<footer>\n{_paragraphs(notes)}\n</footer>" if notes else "",
    )
    Path(path).write_text(page, encoding="utf-8")


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


def _section_html(title: str, section: GallerySection) -> str:
    parts = [f"<h2>{html.escape(title)}</h2>", *map(_table_html, section.tables)]
    parts += [_paragraphs([section.text])] if section.text else []
    return "\n".join(["<section>", *parts, *map(_row_html, section.rows), "</section>"])


def _row_html(row: GalleryRow) -> str:
    figures = "\n".join(_figure_html(row.name, *item) for item in row.pictures.items())
    return (
        f"<article>\n<h3>{html.escape(row.name)}</h3>\n"
        f'<div class="row of{len(row.pictures)}">\n{figures}\n</div>\n</article>'
    )


def _figure_html(name: str, caption: str, image: np.ndarray) -> str:
    height, width = image.shape[:2]
    data = base64.b64encode(_png(image)).decode("ascii")
    return (
        f'<figure><img loading="lazy" width="{width}" height="{height}" '
        f'alt="{html.escape(f"{name}: {caption}")}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b1b1f; --faint: #66666e; --line: #dcdce2;
}
@media (prefers-color-scheme: dark) {
  :root { --paper: #141417; --ink: #e8e8ec; --faint: #9a9aa4; --line: #34343c; }
}
* { box-sizing: border-box; }
body {
  max-width: 68.75rem; margin: 0 auto; padding: 2rem 1.25rem 4rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}
h1, h2 { line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h1 { margin: 0 0 1rem; font-size: 1.75rem; }
h2 { margin: 3rem 0 0; font-size: 1.3rem; }
h3 { margin: 0 0 .5rem; font-size: .875rem; font-weight: 600; overflow-wrap: anywhere; }
p { max-width: 44rem; margin: .4rem 0; overflow-wrap: anywhere; }
.scores { overflow-x: auto; margin-top: 1.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th, td { padding: .4rem 1.5rem .4rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; }
thead th, tbody th { font-weight: 400; color: var(--faint); }
tbody th { color: var(--ink); white-space: nowrap; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
footer p { color: var(--faint); font-size: .875rem; }
article { margin-top: 1.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.row { display: grid; gap: .75rem; grid-template-columns: repeat(4, minmax(0, 16rem)); }
figure { margin: 0; }
img {
  display: block; width: 100%; height: auto;
  border-radius: 4px; box-shadow: 0 0 0 1px var(--line);
}
figcaption { margin-top: .3rem; font-size: .8125rem; color: var(--faint); }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  th, td { padding-right: 1rem; }
  .row { gap: .6rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .of4 { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
</style>
</head>
<body>
<header>
<h1>$title</h1>
$summary
</header>
$sections
$notes
</body>
</html>
""")
