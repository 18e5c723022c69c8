"""Runs side by side: one table of what each was scored on the same pictures."""

from collections.abc import Mapping
from typing import Any

from ugatit_jax.console.errors import InputError
from ugatit_jax.evaluation.report import NONE, Report, cell, section_title
from ugatit_jax.evaluation.scores import ROWS
from ugatit_jax.viewing.tables import markdown


def side_by_side(reports: Mapping[str, Report]) -> str:
    """Return the scores of runs, by their names, as a Markdown table for each direction.

    Below them are the rows of untranslated pictures and of half of the target. Raises `InputError`
    for reports of other pictures, or by other features: they do not compare.
    """
    first, *others = reports
    for other in others:
        for field in ("data", "image_size", "scored", "features"):
            ours, theirs = (reports[name][field] for name in (first, other))
            if ours != theirs:
                raise InputError(
                    f"{first} and {other} do not compare: {field} is {ours!r} and {theirs!r}; say "
                    "--data, --features or --limit for all of them"
                )
    lines = []
    for direction in reports[first]["directions"]:
        table = [["run", "method", "parameters", "step", "KID×100", "FID", "L1", "SSIM", "ΔE"]]
        for name, report in reports.items():
            if direction in report["directions"]:
                about = [report["method"], f"{report['parameters']:,}"]
                about.append(f"{report['step']:,}")
                table.append([name, *about, *_scores(report, direction, "translated")])
        for row in ("untranslated", "target_half"):
            table.append([ROWS[row], *[NONE] * 3, *_scores(reports[first], direction, row)])
        lines += [f"## {section_title(direction)}", "", markdown(table), ""]
    return "\n".join(
        [
            *lines,
            "L1, SSIM and ΔE are to the true counterparts; parameters, of what a direction needs.",
        ]
    )


def _scores(report: Report, direction: str, row: str) -> list[str]:
    scores: Mapping[str, Any] = report["directions"][direction]["rows"].get(row, {})
    truth = scores.get("to_counterpart") or {}
    numbers = [cell(scores.get("kid_x100"), ".2f"), cell(scores.get("fid"), ".2f")]
    likeness = [("l1", ".4f"), ("ssim", ".4f"), ("delta_e", ".2f")]
    return [*numbers, *(cell(truth.get(what), form) for what, form in likeness)]
