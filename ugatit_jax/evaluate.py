"""Translate the test pictures of a run's data set, score them where the truth is known, show them.

    python -m ugatit_jax.evaluate RUN_DIR

Everything goes into RUN_DIR/evaluation/STEP: the translations as a2b/NAME.png and b2a/NAME.png, the
figures as report.json, and index.html to look at.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dm_pix
import jax
import numpy as np
from tqdm import tqdm

from ugatit_jax import images
from ugatit_jax.datasets import Domain, open_dataset, scan
from ugatit_jax.errors import InputError, exit_on_input_error
from ugatit_jax.translate import BATCH, Translator
from ugatit_jax.visualize import (
    DIRECTION_TITLES,
    GalleryRow,
    attention_overlay,
    save_png,
    write_gallery,
)

GALLERY_ROWS = 32  # per direction; a row of 256 px pictures adds about 1 MB to the page

Scores = dict[str, dict[str, float]]  # {"L1" | "SSIM": {"translation" | "input": mean}}

_jitted_ssim = jax.jit(dm_pix.ssim)


def l1(x: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures [h, w, 3], on a scale from 0 to 1."""
    return float(np.abs(x.astype(np.float32) - y.astype(np.float32)).mean() / 255)


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures [h, w, 3], 1 for equal ones.

    Wang et al. 2004 with their Gaussian window (11 px, sigma 1.5), without padding; the mean of
    the three channels.
    """
    return float(_jitted_ssim(x.astype(np.float32) / 255, y.astype(np.float32) / 255))


def evaluate(
    run_dir: Path, step: int | None = None, limit: int | None = None
) -> tuple[dict[str, Any], Path]:
    """Evaluate the newest checkpoint of a run, or that of `step`.

    limit: at most so many test pictures of each domain. Returns the report, with scores where the
    data set knows the true counterparts, and the folder that everything was written to. Raises
    `InputError` for a bad run directory or data set.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} leaves no pictures: give 1 or more")
    translator = Translator.load(run_dir, step)
    data = translator.config.data
    dataset = open_dataset(data)
    if data.skip_bad:
        dataset = scan(dataset, skip_bad=True)
    if not (dataset.test_a or dataset.test_b):
        raise InputError(f"no test pictures in {data.source}: put some into its testA and testB")
    folder = run_dir / "evaluation" / str(translator.step)
    pictures, scores, sections = {}, {}, {}
    for direction, sources, truths in (
        ("a2b", dataset.test_a, dataset.test_b),
        ("b2a", dataset.test_b, dataset.test_a),
    ):
        if not sources:
            continue
        sources = Domain(sources.names[:limit], sources.sources[:limit])
        pictures[direction] = len(sources)
        means, sections[DIRECTION_TITLES[direction]] = evaluate_direction(
            translator,
            direction,
            sources,
            truths if dataset.paired_test else None,
            folder / direction,
        )
        if means:
            scores[direction] = means
    report = {
        "run": str(run_dir.resolve()),
        "step": translator.step,
        "data": data.source,
        "image_size": translator.image_size,
        "pictures": pictures,
        "scores": scores,
        "verdict": [verdict(direction, means) for direction, means in scores.items()],
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    title = f"{run_dir.resolve().name}, step {translator.step:,}"
    summary = [f"{describe(report)} At most {GALLERY_ROWS} of each are shown.", *report["verdict"]]
    if scores:
        summary.append("Scores are against the true counterpart: L1 low, SSIM high is better.")
    write_gallery(folder / "index.html", title, sections, summary, score_table(scores))
    return report, folder


def evaluate_direction(
    translator: Translator, direction: str, sources: Domain, truths: Domain | None, folder: Path
) -> tuple[Scores, list[GalleryRow]]:
    """Translate a test set into `folder`; returns the scores and the first rows of a gallery.

    truths: picture i is the true translation of picture i of `sources`. Without it: no scores.
    """
    targets = _targets(sources.names, folder)
    scores, rows = [], []
    for start in tqdm(range(0, len(sources), BATCH), desc=direction, unit="batch", disable=None):
        indices = range(start, min(start + BATCH, len(sources)))
        inputs = [images.cover_resize(sources.load(i), translator.image_size) for i in indices]
        translations, heatmaps = translator.with_attention(inputs, direction)
        for i, source, translation, heatmap in zip(
            indices, inputs, translations, heatmaps, strict=True
        ):
            save_png(targets[i], translation)
            attention = attention_overlay(source, heatmap)
            pictures = {"input": source, "translation": translation, "attention": attention}
            if truths is not None:
                truth = images.cover_resize(truths.load(i), translator.image_size)
                scores.append([[f(x, truth) for x in (translation, source)] for f in (l1, ssim)])
                pictures["true counterpart"] = truth
            if i < GALLERY_ROWS:
                rows.append(GalleryRow(sources.names[i], pictures))
    if not scores:
        return {}, rows
    means = np.mean(scores, axis=0).tolist()
    return {
        name: {"translation": translation, "input": untranslated}
        for name, (translation, untranslated) in zip(("L1", "SSIM"), means, strict=True)
    }, rows


def _targets(names: Sequence[str], folder: Path) -> list[Path]:
    targets = [(folder / name).with_suffix(".png") for name in names]
    named: dict[Path, str] = {}
    for name, target in zip(names, targets, strict=True):
        if target in named:
            raise InputError(
                f"test pictures {named[target]} and {name} would both become {target}: rename one"
            )
        named[target] = name
    return targets


def verdict(direction: str, scores: Scores) -> str:
    """Say in one line on which scores the translation beats the untranslated input."""
    beats = {
        "L1": scores["L1"]["translation"] < scores["L1"]["input"],
        "SSIM": scores["SSIM"]["translation"] > scores["SSIM"]["input"],
    }
    won = [name for name in beats if beats[name]]
    lost = [name for name in beats if not beats[name]]
    if won and lost:
        where = f"{won[0]}, but not on {lost[0]}"
    else:
        where = "both scores" if won else "neither score"
    title = DIRECTION_TITLES[direction]
    return f"{title}: the translation beats the untranslated input on {where}."


def describe(report: dict[str, Any]) -> str:
    """One line on what was evaluated."""
    height, width = report["image_size"]
    counts = " and ".join(
        f"{count:,} pictures {DIRECTION_TITLES[direction]}"
        for direction, count in report["pictures"].items()
    )
    return f"{counts}, {width} × {height} px, of {report['data']}."


def score_table(scores: dict[str, Scores]) -> list[list[str]]:
    """Return the scores by direction as lines of text cells under a header; [] without scores."""
    if not scores:
        return []
    columns = [(name, what) for name in ("L1", "SSIM") for what in ("translation", "input")]
    header = ["", *(f"{name} {what}" for name, what in columns)]
    lines = [
        [DIRECTION_TITLES[direction], *(f"{means[name][what]:.4f}" for name, what in columns)]
        for direction, means in scores.items()
    ]
    return [header, *lines]


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ugatit_jax.evaluate",
        description="Translate the test pictures of a run, score and show them.",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="what training wrote")
    parser.add_argument("--step", type=int, help="of the checkpoint; default: the newest")
    parser.add_argument("--limit", type=int, help="test pictures per domain; default: all")
    args = parser.parse_args(argv)

    report, folder = evaluate(args.run_dir, args.step, args.limit)
    print(f"step {report['step']:,}: {describe(report)}")
    table = score_table(report["scores"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(*report["verdict"], f"gallery: {folder / 'index.html'}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
