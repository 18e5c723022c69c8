"""A report as files, in a folder: report.json, report.md and the page index.html."""

import json
from collections.abc import Sequence

import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import Domain
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, first_line, make_folder, write_atomically
from ugatit_jax.evaluation.report import Report, about, notes, render, tables
from ugatit_jax.evaluation.scores import Scores, order
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.visualize import attention_overlay

GALLERY_ENDS = 50  # so many of the best and of the worst are shown


def claim_folder(folder: AnyPath, report: Report, overwrite: bool) -> None:
    """Make the folder of a report, or see that it may be written to.

    Raises `InputError` if a report on other pictures or by other features is in it.
    """
    path = folder / "report.json"
    if path.exists() and not overwrite:
        try:
            before = read_object(path)
        except ValueError:
            before = {}
        except OSError as error:
            raise InputError(f"cannot read {path}: {first_line(error)}; remove it") from None
        for field in ("data", "features"):
            if before.get(field) != report[field]:
                raise InputError(
                    f"{path} is a report of other {field}: say another --out, or --overwrite"
                )
    try:
        make_folder(folder)
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {first_line(error)}") from None


def section(
    scores: Scores, columns: dict[str, Domain], heatmaps: Sequence[np.ndarray]
) -> GallerySection:
    """The pictures from best to worst, or both ends of a long list.

    columns: by caption, among them 'translation', and 'input' where there are heat maps: of any
    size, one for each input, or none at all.
    """
    ranking, distance = order(scores)
    shown = ranking
    if len(ranking) > 2 * GALLERY_ENDS:
        shown = [*ranking[:GALLERY_ENDS], *ranking[-GALLERY_ENDS:]]

    def row(i: int) -> GalleryRow:
        pictures = {caption: domain.load(i) for caption, domain in columns.items()}
        if heatmaps:
            pictures["attention"] = attention_overlay(pictures["input"], heatmaps[i])
        title = columns["translation"].names[i]
        if distance:
            title += f" · {scores['per_picture'][i][distance]:.3f}"
        return GalleryRow(title, pictures)

    said = f"From best to worst by {distance.replace('_', ' ')}." if distance else ""
    if len(shown) < len(ranking):
        said += f" The {GALLERY_ENDS} best and the {GALLERY_ENDS} worst of {len(ranking):,}."
    # One row of pictures in memory at a time: they may be large.
    return GallerySection(map(row, shown), tables(scores), said)


def write_report(
    folder: AnyPath, title: str, report: Report, sections: dict[str, GallerySection]
) -> None:
    """Write the report in its three forms."""
    write_atomically(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / "report.md", render(title, report))
    write_gallery(folder / "index.html", title, sections, about(report), notes(report))
