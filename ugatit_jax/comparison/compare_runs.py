"""Score runs in one go, and lay everything that is known of them side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from ugatit_jax.comparison.arms import Arm, gather, settings
from ugatit_jax.comparison.curves import plot_curves
from ugatit_jax.comparison.rho import learned_rho, plot_rho
from ugatit_jax.comparison.scores import (
    NOTES,
    PUBLISHED_NOTE,
    Columns,
    Reports,
    check_comparable,
    directions,
    score_table,
)
from ugatit_jax.data import images
from ugatit_jax.data.pairs import match_names
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.evaluation.evaluate_run import ScoredPictures, evaluate_run, scored_pictures
from ugatit_jax.evaluation.report import about, notes, section_title
from ugatit_jax.inference.translator import Translator
from ugatit_jax.runs.steps import Step
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.tables import latex, markdown
from ugatit_jax.viewing.visualize import attention_overlay

SHOWN = 50  # rows of pictures in each direction, at most
LOOKED_AT = 8  # of them, with heat maps
RHO = (
    "1 is instance normalisation, 0 layer normalisation. A column for each checkpoint that the "
    "first run of an arm kept, a line for each channel, sorted by the last one."
)


def compare(
    paths: Sequence[AnyPath], out: AnyPath, more: Columns | None = None, **options: Any
) -> str:
    """Score runs, and write out/comparison.md, .tex and .html; returns the first.

    paths: of runs, or of exports, for which options have to name the data. more: further figures of
    runs, {run: {title: number}}. options: as `evaluate_run` takes them, whose reports and
    translations are written to out/scores/NAME. Raises `InputError` for runs that do not compare.
    """
    arms = gather(paths)
    runs = [run for arm in arms for run in arm.runs]
    reports: dict[str, Any] = {}
    for run in runs:
        folder = out / "scores" / _folder(run.name)
        reports[run.name], _ = evaluate_run(run.path, out=folder, **options)
        check_comparable(reports)  # before the next one takes its minutes
    tables = {way: score_table(arms, reports, way, more or {}) for way in directions(reports)}
    chosen = {name: options[name] for name in ("data", "limit", "held_out") if name in options}
    test = scored_pictures(runs[0].path, **chosen)
    compared = _Comparison(arms, reports, tables, test, out, options.get("step"))
    text = compared.markdown()
    write_atomically(out / "comparison.md", text)
    write_atomically(out / "comparison.tex", compared.latex())
    compared.write_page(out / "comparison.html")
    return text


def _folder(name: str) -> str:
    return name.replace("/", "_")


@dataclass(frozen=True)
class _Comparison:
    """What was found, in its three forms."""

    arms: Sequence[Arm]
    reports: Reports
    tables: dict[str, list[list[str]]]  # of scores, by direction
    test: ScoredPictures
    out: AnyPath
    step: Step

    @property
    def notes(self) -> list[str]:
        """What the figures are."""
        features = [x for x in notes(self._first) if x.startswith("Features")]
        has_paper = any("paper" in table[0] for table in self.tables.values())
        return [*features, *NOTES, *([PUBLISHED_NOTE] if has_paper else [])]

    @property
    def _first(self) -> Any:
        return next(iter(self.reports.values()))

    @property
    def _summary(self) -> list[str]:
        """Which pictures were scored."""
        return about(self._first)[-2:]

    def markdown(self) -> str:
        """Return scores, what differs, and notes."""
        lines = ["# Comparison", "", *self._summary]
        for direction, table in self.tables.items():
            lines += ["", f"## {section_title(direction)}", "", markdown(table)]
        if len(differing := settings(self.arms)) > 1:
            lines += ["", "## What differs", "", markdown(differing)]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes), ""])

    def latex(self) -> str:
        """Return the scores, and the notes as comments."""
        tables = [f"% {section_title(way)}\n{latex(table)}" for way, table in self.tables.items()]
        return "\n".join([*tables, *(f"% {note}" for note in self.notes), ""])

    def write_page(self, path: AnyPath) -> None:
        """Write everything: scores, curves, ρ, heat maps, the same pictures row by row."""
        sections: dict[str, GallerySection] = {}
        for direction, table in self.tables.items():
            pictures = GallerySection(self._pictures(direction), [table])
            sections[section_title(direction)] = pictures
        curves, said = plot_curves(self.arms, list(self.tables))
        if curves:
            plots = {"KID while training": curves}
            sections["While training"] = GallerySection([], text=" ".join(said), plots=plots)
        for direction in self.tables:
            if rows := self._looks(direction):
                text = "Attention of the generators that have any, over their inputs."
                title = f"Where generators look, {section_title(direction)}"
                sections[title] = GallerySection(rows, text=text)
        if plots := dict(self._rho()):
            sections["The learned ρ"] = GallerySection([], text=RHO, plots=plots)
        if len(differing := settings(self.arms)) > 1:
            sections["What differs"] = GallerySection([], [differing])
        write_gallery(path, "Comparison", sections, self._summary, self.notes)

    def _pictures(self, direction: str) -> Iterator[GalleryRow]:
        """The first test pictures, and what the first run of each arm made of them."""
        source, target = (self.test.domains[name] for name in (direction[0], direction[-1]))
        why = "no pairs"
        if self.test.paired:
            partners, why = match_names(source.names, target.names)
        for i, name in enumerate(source.names[:SHOWN]):
            pictures = {"input": source.load(i)}
            for arm in self.arms:
                folder = self.out / "scores" / _folder(arm.runs[0].name) / direction
                if (file := folder / PurePath(name).with_suffix(".png")).is_file():
                    pictures[arm.name] = images.decode(file)
            if not why:
                pictures["true counterpart"] = target.load(partners[i])
            yield GalleryRow(name, pictures)

    def _looks(self, direction: str) -> list[GalleryRow]:
        """Heat maps of the same inputs; none if no arm has any."""
        source = self.test.domains[direction[0]].first(LOOKED_AT)
        inputs = [source.load(i) for i in range(len(source))]
        rows: list[dict[str, np.ndarray]] = [{"input": picture} for picture in inputs]
        for arm in self.arms:
            translator = Translator.load(arm.runs[0].path, self.step)
            if not translator.method.looks or direction not in translator.weights:
                continue
            for row, found in zip(rows, translator.details(inputs, direction), strict=True):
                row[arm.name] = attention_overlay(row["input"], found.heatmap)
        return [
            GalleryRow(name, row)
            for name, row in zip(source.names, rows, strict=True)
            if len(row) > 1
        ]

    def _rho(self) -> Iterator[tuple[str, bytes]]:
        for arm in self.arms:
            for direction in self.tables:
                if layers := learned_rho(arm.runs[0], direction):
                    title = f"{arm.name}, {section_title(direction)}"
                    yield title, plot_rho(layers, title)
