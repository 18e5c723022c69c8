"""The scores of arms in one table for each direction: means over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ugatit_jax.comparison.arms import Arm
from ugatit_jax.comparison.published import published
from ugatit_jax.console.errors import InputError
from ugatit_jax.evaluation.report import NONE, Report
from ugatit_jax.evaluation.scores import ROWS, Scores

Reports = Mapping[str, Report]  # of runs, by name
Columns = Mapping[str, Mapping[str, float]]  # more figures of runs, by run and title

# Title, where it is in a row of a report, and how it is written.
SCORES = (
    ("KID×100", ("kid_x100", "mean"), ".2f"),
    ("FID", ("fid",), ".1f"),
    ("mean KID×100", ("mean_kid_x100", "mean"), ".2f"),
    ("L1", ("to_counterpart", "l1"), ".4f"),
    ("SSIM", ("to_counterpart", "ssim"), ".4f"),
    ("ΔE", ("to_counterpart", "delta_e"), ".2f"),
)
NOTES = (
    "All runs were scored in one go, on the same pictures, by the same features. ± is the standard "
    "deviation over seeds (n - 1); of one seed there is none.",
    "KID×100 and FID are to the target; mean KID×100 is the paper's measure, the mean of the KIDs "
    "to target and source. L1, SSIM and ΔE are to the true counterparts. Parameters are those that "
    "a direction needs; hours are those of training, with compiling.",
)
PUBLISHED_NOTE = (
    "The paper's column: its mean KID×100, by Inception's features, trained on the set that is "
    "named for a million steps. Its order may be compared with ours, its figures only if pictures "
    "and features are the same."
)


def check_comparable(reports: Reports) -> None:
    """Raise `InputError` for reports on other pictures, or by other features."""
    first, *others = reports
    for other in others:
        for field in ("data", "image_size", "scored", "features"):
            ours, theirs = (reports[name][field] for name in (first, other))
            if ours != theirs:
                raise InputError(
                    f"{first} and {other} do not compare: {field} is {ours!r} and {theirs!r}; "
                    "compare runs of one data set and size, or say --data or --limit for all"
                )


def directions(reports: Reports) -> list[str]:
    """Return the directions that any report has."""
    return list(dict.fromkeys(x for report in reports.values() for x in report["directions"]))


def score_table(
    arms: Sequence[Arm], reports: Reports, direction: str, more: Columns
) -> list[list[str]]:
    """Return a direction's table: arms, then the untranslated pictures and half of the target.

    Columns that no row has anything in are left out.
    """
    lines = []
    for arm in arms:
        theirs = [reports[run.name] for run in arm.runs]
        if all(direction in report["directions"] for report in theirs):
            lines.append(_line(arm, theirs, direction, more))
    any_report = next(x for x in reports.values() if direction in x["directions"])
    for row, title in ROWS.items():
        if row != "translated" and row in (of_rows := any_report["directions"][direction]["rows"]):
            lines.append({"run": title} | _scores([of_rows[row]]))
    header = list(dict.fromkeys(title for line in lines for title in line))
    header = [x for x in header if any(line.get(x, NONE) != NONE for line in lines)]
    return [header, *([line.get(title, NONE) for title in header] for line in lines)]


def _line(arm: Arm, reports: Sequence[Report], direction: str, more: Columns) -> dict[str, str]:
    rows = [report["directions"][direction]["rows"]["translated"] for report in reports]
    steps = [report["step"] for report in reports]
    hours = [run.clock.hours(step) for run, step in zip(arm.runs, steps, strict=True)]
    line = {"run": arm.name, "seeds": f"{len(arm.runs)}"} | _scores(rows)
    paper = published(arm.runs[0].fields, direction)
    line["paper"] = f"{paper.data}: {paper.kid_x100:.2f} ± {paper.spread:.2f}" if paper else NONE
    line["parameters"] = f"{reports[0]['parameters']:,}"
    line["steps"] = _spread(steps, ",.0f", spread=False)
    line["hours"] = _spread(hours, ".2f", spread=False)
    for title in dict.fromkeys(title for of_run in more.values() for title in of_run):
        values = [more.get(run.name, {}).get(title) for run in arm.runs]
        line[title] = _spread(values, ".2f", spread=False)
    return line


def _scores(rows: Sequence[Scores]) -> dict[str, str]:
    return {
        title: _spread([_look_up(row, path) for row in rows], form) for title, path, form in SCORES
    }


def _look_up(row: Scores, path: Sequence[str]) -> float | None:
    found: Any = row
    for name in path:
        found = found and found.get(name)
    return found


def _spread(values: Sequence[float | None], form: str, spread: bool = True) -> str:
    """A mean, and maybe its spread over seeds; nothing where one of the values is not known."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return NONE
    mean = format(float(np.mean(known)), form)
    many = spread and len(known) > 1
    return f"{mean} ± {format(float(np.std(known, ddof=1)), form)}" if many else mean
