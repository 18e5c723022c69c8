"""Train all methods for the same minutes, score all of them, and show what they make of a picture.

    python -m benchmarks.methods --minutes 20 --out runs/methods
    python -m benchmarks.methods --methods ugatit,cyclegan --data cats dogs --out runs/pets

Each as `timed_training.py` does it, with the config's own settings for the method. DIR/methods.md
is one table for each direction, DIR/methods.html has the same test pictures, row by row, and
DIR/scores what `evaluate` writes. Two folders of pictures, --data, take the place of the config's;
every tenth picture of theirs is kept for the test.
"""

import argparse
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.timed_training import (
    HelpFormatter,
    Took,
    add_arguments,
    config_of,
    evaluate,
    our_trial,
    train_all,
    train_for,
    train_ours,
)
from ugatit_jax.console.errors import InputError, exit_on_input_error
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain, open_dataset
from ugatit_jax.data.pairs import match_names
from ugatit_jax.evaluation.report import NONE, section_title
from ugatit_jax.evaluation.scores import ROWS
from ugatit_jax.methods import METHODS
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.tables import markdown

TESTED = 10  # one picture of so many is kept for the test
SHOWN = 50  # rows of the page for each direction, at most
COLUMNS = {"KID×100": ".2f", "L1": ".4f", "SSIM": ".4f", "ΔE": ".2f"}


@exit_on_input_error
def main() -> None:
    """Train, score, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    add_arguments(parser, minutes=20.0, seeds=[0])
    parser.add_argument("--methods", default=",".join(METHODS), help="variants of the config")
    parser.add_argument("--data", type=Path, nargs=2, metavar=("A", "B"), help="folders instead")
    args = parser.parse_args()
    fields = list(args.set)
    if args.data:
        fields.append(f"data.source={args.out / 'data'}")
    if args.one:
        return train_one(args, fields, args.one[0], int(args.one[1]))
    names = args.methods.split(",")
    configs = {name: config_of(f"{args.config}:{name}", 0, fields) for name in names}
    if args.data:
        split(args.data, args.out / "data")
    runs = train_all("benchmarks.methods", names, args.seeds, args.out)
    everything = [run for of_one in runs.values() for run in of_one]
    data = configs[names[0]].data
    evaluate(everything, data.source, args.out / "scores")
    reports = {
        run: json.loads((args.out / "scores" / run.name / "report.json").read_text())
        for run in everything
    }
    text = tables(runs, reports)
    (args.out / "methods.md").write_text(text)
    first = {name: of_one[0].name for name, of_one in runs.items()}
    write_page(args.out / "methods.html", data, first, args.out / "scores")
    print(f"{text}\n{args.out / 'methods.md'}\n{args.out / 'methods.html'}")
    return None


def train_one(args: argparse.Namespace, fields: Sequence[str], method: str, seed: int) -> None:
    """Train one method for the minutes."""
    experiment = f"{args.config}:{method}"
    config = config_of(experiment, seed, fields)
    run_dir = args.out / f"{method}-{seed}"
    train = functools.partial(train_ours, experiment, config, fields, run_dir)
    train_for(
        args.minutes, args.clock, config, run_dir, functools.partial(our_trial, config), train
    )


def split(folders: Sequence[Path], data: Path) -> None:
    """Lay two folders of pictures out as a data set, by links."""
    for folder, domain in zip(folders, "AB", strict=True):
        files = images.list_images(folder)
        if len(files) < 2 * TESTED:
            raise InputError(f"{folder} has {len(files)} pictures: give {2 * TESTED} or more")
        for i, file in enumerate(files):
            part = "test" if i % TESTED == 0 else "train"
            link = data / f"{part}{domain}" / file.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(file.resolve())


def tables(runs: Mapping[str, Sequence[Path]], reports: Mapping[Path, dict[str, Any]]) -> str:
    """Return the scores of all methods in Markdown: means over seeds, ± standard deviations."""
    sections = []
    for direction in dict.fromkeys(x for report in reports.values() for x in report["directions"]):
        table = [["method", *COLUMNS, "parameters", "steps", "steps/s"]]
        for name, of_one in runs.items():
            theirs = [reports[run] for run in of_one]
            if all(direction in report["directions"] for report in theirs):
                rows = [report["directions"][direction]["rows"]["translated"] for report in theirs]
                took = [took for run in of_one if (took := Took.of(run))]
                steps = f"{np.mean([x.steps for x in took]):,.0f}"
                speed = f"{np.mean([x.steps_per_second for x in took]):.2f}"
                parameters = f"{theirs[0]['parameters']:,}"
                table.append([name, *_scores(rows), parameters, steps, speed])
        any_report = next(x for x in reports.values() if direction in x["directions"])
        for row in ("untranslated", "target_half"):
            if row in (rows_of := any_report["directions"][direction]["rows"]):
                table.append([ROWS[row], *_scores([rows_of[row]]), *[NONE] * 3])
        sections.append(f"## {section_title(direction)}\n\n{markdown(table)}\n")
    about = "Parameters: of what a direction needs. L1, SSIM, ΔE: to the true counterparts."
    return "\n".join([*sections, about, ""])


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cells of a method: its rows are of several seeds."""
    kid = [row["kid_x100"] and row["kid_x100"]["mean"] for row in rows]
    truth = [row.get("to_counterpart") or {} for row in rows]
    values = [kid, *([x.get(name) for x in truth] for name in ("l1", "ssim", "delta_e"))]
    return [_spread(x, form) for x, form in zip(values, COLUMNS.values(), strict=True)]


def _spread(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return NONE
    mean = format(float(np.mean(known)), form)
    return mean if len(known) == 1 else f"{mean} ± {format(float(np.std(known, ddof=1)), form)}"


def write_page(path: Path, data: ConfigDict, methods: Mapping[str, str], scores: Path) -> None:
    """Write a page of the same test pictures by all methods: {method: folder in `scores`}."""
    dataset = open_dataset(data)
    size = tuple(data.image_size)
    domains = {
        name: Domain(domain.names, domain.sources, size)
        for name, domain in (("a", dataset.test_a), ("b", dataset.test_b))
    }
    sections = {}
    for direction in ("a2b", "b2a"):
        source, target = domains[direction[0]], domains[direction[-1]]
        folders = {method: scores / folder / direction for method, folder in methods.items()}
        there = {method: folder for method, folder in folders.items() if folder.is_dir()}
        if not there:
            continue
        partners, _ = match_names(source.names, target.names) if dataset.paired_test else ([], "")
        rows = _rows(source, there, target.take(partners))
        sections[section_title(direction)] = GallerySection(rows)
    write_gallery(path, "The same pictures by all methods", sections)


def _rows(source: Domain, folders: Mapping[str, Path], truth: Domain) -> Iterator[GalleryRow]:
    for i, name in enumerate(source.names[:SHOWN]):
        translated = PurePath(name).with_suffix(".png")
        pictures = {"input": source.load(i)}
        pictures |= {method: images.decode(x / translated) for method, x in folders.items()}
        if len(truth):
            pictures["true counterpart"] = truth.load(i)
        yield GalleryRow(name, pictures)


if __name__ == "__main__":
    main()
