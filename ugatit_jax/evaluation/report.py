"""A report on a translation: its tables of scores, and what they are and are not, in words."""

from collections.abc import Mapping
from typing import Any

from ugatit_jax.console.errors import printable
from ugatit_jax.evaluation.scores import ROWS, Scores
from ugatit_jax.metrics.fid import SMALLEST_SAMPLE
from ugatit_jax.viewing.tables import markdown
from ugatit_jax.viewing.visualize import DIRECTION_TITLES

Report = dict[str, Any]

NONE = "–"  # in a table, for what there is not


def section_title(direction: str) -> str:
    """What the scores of a direction stand under; 'translated' is of folders, whatever way."""
    return DIRECTION_TITLES.get(direction, "Translated")


def tables(scores: Scores) -> list[list[list[str]]]:
    """The rows as tables of text: lines of cells, of which the first is the header.

    One of the distances between sets, one of the likeness to the true counterparts if known.
    """
    rows = scores["rows"]
    header = [
        "to the target",
        "pictures",
        "KID×100",
        "FID",
        "mean KID×100",
        "weighted mean KID×100",
    ]
    header += ["feature distance to input", "SSIM to input"]
    of_sets = [header]
    of_counterparts = [["to the true counterpart", "L1", "SSIM", "ΔE", "feature distance"]]
    for name, row in rows.items():
        cells = [f"{row['pictures']:,} to {row['target_pictures']:,}"]
        cells += [_spread(row["kid_x100"]), _number(row["fid"], ".2f")]
        cells += [_spread(row[f"{which}_kid_x100"]) for which in ("mean", "weighted_mean")]
        to_input = row.get("to_input", {})
        cells += [_number(to_input.get(what), ".4f") for what in ("feature_distance", "ssim")]
        of_sets.append([ROWS[name], *cells])
        if truth := row.get("to_counterpart"):
            cells = [_number(truth[what], ".4f") for what in ("l1", "ssim")]
            cells += [_number(truth["delta_e"], ".2f"), _number(truth["feature_distance"], ".4f")]
            of_counterparts.append([ROWS[name], *cells])
    return [of_sets, of_counterparts] if len(of_counterparts) > 1 else [of_sets]


def about(report: Report) -> list[str]:
    """What was evaluated: the checkpoint, the pictures, how many of those that were found."""
    lines = []
    if checkpoint := report.get("checkpoint"):
        is_what = " and ".join(checkpoint["is"]) or "neither the newest nor the best"
        best = checkpoint["best_step"]
        known = "no KID was taken while training" if best is None else f"the best is {best:,}"
        newest = checkpoint["newest_step"]
        lines.append(
            f"Step {checkpoint['step']:,} is {is_what} ({known}, the newest is {newest:,})."
        )
    elif "step" in report:
        lines.append(f"An export of step {report['step']:,}.")
    for what, network in report.get("fixed", {}).items():
        lines.append(
            f"Trained with {network['network']}'s {network['layer']} for {what}, weights sha256 "
            f"{network['sha256'][:8]}…."
        )
    data = report["data"] if isinstance(report["data"], str) else " · ".join(report["data"])
    size = "{1} × {0} px".format(*report["image_size"]) if "image_size" in report else "as they are"
    scored = ", ".join(f"{name} {_count(**count)}" for name, count in report["scored"].items())
    return [*lines, f"Pictures: {printable(data)}, {size}.", f"Scored: {scored}."]


def _count(scored: int, found: int, unreadable: int = 0) -> str:
    left_out = f", of which {unreadable:,} cannot be read" if unreadable else ""
    return f"all {found:,}" if scored == found else f"{scored:,} of {found:,} found{left_out}"


def notes(report: Report) -> list[str]:
    """What the numbers of a report are, and what they are not; a sentence or two each.

    report: 'directions', each as `score` returns it, and maybe with 'unpaired', why what was not
    compared one by one; 'features', a description of the extractor ('extractor', 'dimension',
    'sha256', 'preprocessing'); and for a run maybe 'chosen_on_these_pictures', true where the same
    pictures told which 'checkpoint' is scored, and 'styles', how they were chosen.
    """
    features = report["features"]
    rows = [row for scores in report["directions"].values() for row in scores["rows"].values()]
    lines = [
        f"Features: {features['extractor']}, {features['dimension']:,} of them, weights "
        f"sha256 {features['sha256'][:8]}…; {features['preprocessing']}."
    ]
    if report.get("chosen_on_these_pictures"):
        lines.append(
            f"Step {report['checkpoint']['step']:,} was chosen: of all saved steps it had the "
            "lowest KID, on test pictures that are among these. So its scores here are better than "
            "on pictures that nothing was chosen by, the more so the fewer there are. To report "
            "them, score other pictures (--data, --held-out), or the newest step."
        )
    if "styles" in report:
        lines.append(
            f"Every picture was translated once, in a random style of its own, {report['styles']}: "
            "the same at every evaluation."
        )
    for scores in report["directions"].values():
        for what, why in scores.get("unpaired", {}).items():
            lines.append(f"Not compared one by one with {what}, as names do not tell pairs: {why}.")
    if kids := [row["kid_x100"] for row in rows if row["kid_x100"]]:
        sizes = " or ".join(f"{size:,}" for size in sorted({kid["subset_size"] for kid in kids}))
        lines.append(
            f"KID: mean ± standard deviation over {kids[0]['subsets']} subsets of {sizes} pictures "
            "of either side (1,000, or half of the smaller side): how far subsets scatter, not the "
            "error of the mean."
        )
    smallest = min((min(row["pictures"], row["target_pictures"]) for row in rows), default=0)
    if smallest < SMALLEST_SAMPLE:
        lines.append(
            f"FID grows as pictures get fewer, and here some row has {smallest:,}: under "
            f"{SMALLEST_SAMPLE:,}, compare it between equal numbers of pictures only, and not with "
            "published figures. KID has no such bias."
        )
    if any("to_counterpart" in row for row in rows):
        lines.append(
            "ΔE is CIEDE2000, the mean over all pixels: one just sees a difference of 1; black and "
            "white are 100 apart."
        )
    if any(row["mean_kid_x100"] for row in rows):
        published = features["extractor"] == "inception-v3"
        lines.append(
            "Mean KID is what the paper's tables hold, (KID to target + KID to source) / 2; the "
            "authors' later code weighs them, (0.02 target + 0.98 source) / 2. ± is the standard "
            "error over blocks of about 10 pictures. A copy of the input does well on both: "
            "compare by KID."
            + ("" if published else " The paper's figures are of Inception's features, not these.")
        )
    return lines


def render(title: str, report: Report) -> str:
    """A report as Markdown, which reads well as plain text, too."""
    lines = [f"# {title}", "", *about(report)]
    for direction, scores in report["directions"].items():
        lines += ["", f"## {section_title(direction)}"]
        for table in tables(scores):
            lines += ["", markdown(table)]
    return "\n".join([*lines, "", "## How to read it", "", *(f"- {x}" for x in notes(report)), ""])


def _spread(score: Mapping[str, float | None] | None) -> str:
    if score is None:
        return NONE
    spread = score.get("std_over_subsets", score.get("standard_error_over_blocks"))
    return f"{score['mean']:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def cell(value: Mapping[str, float | None] | float | None, form: str) -> str:
    """A score as text, with its spread if it has one."""
    return _number(value, form) if isinstance(value, float | None) else _spread(value)


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)
