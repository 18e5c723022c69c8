"""Translate the test pictures of a run's data set, score them, and show them from best to worst."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ugatit_jax.config.records import load_config
from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data.datasets import (
    Broken,
    Domain,
    errors_of,
    find_broken_in,
    leave_out,
    open_dataset,
    refuse_broken,
)
from ugatit_jax.data.pairs import match_names
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.evaluation.presentation import claim_folder, section, write_report
from ugatit_jax.evaluation.report import Report, section_title
from ugatit_jax.evaluation.scores import PictureSet, Scores, score
from ugatit_jax.inference.translator import Translator
from ugatit_jax.metrics.features import open_extractor
from ugatit_jax.runs.checkpoints import describe_checkpoint
from ugatit_jax.runs.directory import read_identity
from ugatit_jax.runs.exports import is_exported
from ugatit_jax.runs.steps import Step
from ugatit_jax.viewing.visualize import save_png


def evaluate_run(
    run_dir: AnyPath,
    step: Step = None,
    data: str = "",
    features: str = "auto",
    limit: int | None = None,
    held_out: bool = False,
    out: AnyPath | None = None,
    overwrite: bool = False,
    beside: Sequence[AnyPath] = (),
) -> tuple[Report, AnyPath]:
    """Translate the test pictures of a run's data set, or an export's, and score them.

    An export has forgotten its data set: `data` says which.

    Args:
      run_dir: of a run, or an exported folder.
      step: of the checkpoint; 'best', by its KID while training; None: the newest.
      data: another data set, as `config.data.source` names it.
      features: as `open_extractor` takes it.
      limit: at most so many test pictures of each domain.
      held_out: only those that KID while training left alone, so that a step that it chose is not
        scored by the pictures that chose it.
      out: where to write; None: RUN_DIR/evaluation/STEP, or evaluation/NAME of an export.
      overwrite: replace a report on something else.
      beside: other runs or exports, whose translations the page shows, too.

    Returns the report and the folder that everything was written to. Raises `InputError` for a bad
    run directory or data set, and where a report on something else would be overwritten; and, with
    the names of all of them, for test pictures that cannot be read, unless the training left such
    pictures out (`config.data.skip_bad`): then the report counts them.
    """
    translator = Translator.load(run_dir, step)
    checkpoint = None if is_exported(run_dir) else describe_checkpoint(run_dir, translator.step)
    identity = None if checkpoint is None else read_identity(run_dir)
    run = _config_of(run_dir)
    config = run.data
    # A number may name the best step, too; the newest was not chosen.
    is_best = checkpoint is not None and "best" in checkpoint["is"]
    chosen = is_best and step is not None and data in ("", config.source)
    test = scored_pictures(run_dir, data, limit, held_out)
    extractor = open_extractor(features, config.cache_dir)
    name = resolve(run_dir).name
    if out is None and checkpoint is None:
        out = Path("evaluation") / name
    folder = out or run_dir / "evaluation" / str(translator.step)
    report: Report = {
        "run": str(resolve(run_dir)),
        "method": run.method,
        "parameters": sum(x.size for x in jax.tree.leaves(next(iter(translator.weights.values())))),
        "step": translator.step,
        "checkpoint": checkpoint,
        "fixed": identity.fixed if identity else {},
        "chosen_on_these_pictures": chosen and not held_out,
        "data": data or config.source,
        "image_size": list(translator.image_size),
        "scored": test.counts,
        "features": extractor.describe(),
        "directions": {},
    }
    if translator.method.style_size:
        report["styles"] = "drawn by place and seed 0"
    claim_folder(folder, report, overwrite)
    real = {
        name: PictureSet.of(pictures, extractor, name) for name, pictures in test.domains.items()
    }
    others = {resolve(path).name: Translator.load(path) for path in beside}
    sections = {}
    for direction in translator.method.directions:
        source, target = real[direction[0]], real[direction[-1]]
        if not len(source.pictures):
            continue
        pictures, heatmaps = translate_into(
            folder / direction, translator, direction, source.pictures
        )
        translated = PictureSet.of(pictures, extractor, f"{direction}, translated")
        scores, columns = _compare(translated, source, target, test.paired)
        report["directions"][direction] = scores
        for other, theirs in others.items():
            if direction in theirs.weights:
                where = folder / "beside" / other / direction
                columns[other], _ = translate_into(where, theirs, direction, source.pictures)
        sections[section_title(direction)] = section(scores, columns, heatmaps)
    write_report(folder, f"{name}, step {translator.step:,}", report, sections)
    return report, folder


def _compare(
    translated: PictureSet, source: PictureSet, target: PictureSet, paired: bool
) -> tuple[Scores, dict[str, Domain]]:
    """Return the scores of a direction, and the columns of its page.

    paired: pictures of one name in source and target show the same thing.
    """
    columns = {"input": source.pictures, "translation": translated.pictures}
    if not paired:
        return score(translated, target, source, paired=True), columns
    indices, why = match_names(source.pictures.names, target.pictures.names)
    if why:
        scores = score(translated, target, source, paired=True)
        return scores | {"unpaired": {"the true counterparts": why}}, columns
    counterpart = target.take(indices)
    scores = score(translated, target, source, counterpart, paired=True)
    return scores, columns | {"true counterpart": counterpart.pictures}


@dataclass(frozen=True)
class ScoredPictures:
    """As they are translated, by domain; `counts`: how many are scored, and of how many."""

    domains: dict[str, Domain]  # 'a' and 'b'
    paired: bool
    counts: dict[str, dict[str, int]]


def _config_of(run_dir: AnyPath) -> ConfigDict:
    """A run's config; a cache that is not here is forgotten.

    Of another machine, or of somebody else, it names a folder that nobody here wants made.
    """
    config = load_config(run_dir / "config.json")
    if config.data.cache_dir and not find_cache_dir(config.data.cache_dir).is_dir():
        config.data.cache_dir = ""
    return config


def scored_pictures(
    run_dir: AnyPath, data: str = "", limit: int | None = None, held_out: bool = False
) -> ScoredPictures:
    """Return the pictures that `evaluate_run` scores a run or an export on.

    Arguments and errors are as for that.
    """
    run = _config_of(run_dir)
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} leaves no pictures: give 1 or more")
    if is_exported(run_dir) and not data:
        raise InputError(f"{run_dir} is an export, without a data set: say --data")
    if held_out and (is_exported(run_dir) or not run.eval.held_out):
        raise InputError(
            f"{run_dir} held no test pictures out: train with config.eval.held_out, or leave out "
            "--held-out"
        )
    run.data.source = data or run.data.source
    dataset = open_dataset(run.data)
    found = {"a": len(dataset.test_a), "b": len(dataset.test_b)}
    broken: Broken = {}
    if run.data.skip_bad:
        broken = find_broken_in({"test_a": dataset.test_a, "test_b": dataset.test_b})
        dataset = leave_out(dataset, broken, skip_bad=True)
        if errors := errors_of(broken):
            print(f"left out {len(errors)} unreadable pictures:", *errors, sep="\n", flush=True)
    if not (dataset.test_a or dataset.test_b):
        raise InputError(
            f"no test pictures in {run.data.source}: put some into its testA and testB"
        )
    chosen = {"a": dataset.test_a, "b": dataset.test_b}
    if held_out:
        chosen = {name: domain.held_out(run.eval.held_out)[1] for name, domain in chosen.items()}
    domains = {
        name: dataclasses.replace(domain.first(limit), size=tuple(run.data.image_size))
        for name, domain in chosen.items()
    }
    if not run.data.skip_bad:
        refuse_broken(domains)
    counts = {
        f"test {name.upper()}": {"scored": len(domain), "found": found[name]}
        for name, domain in domains.items()
    }
    for split, of_split in broken.items():
        counts[split.replace("_a", " A").replace("_b", " B")]["unreadable"] = len(of_split)
    return ScoredPictures(domains, dataset.paired_test, counts)


def translate_into(
    folder: AnyPath, translator: Translator, direction: str, sources: Domain
) -> tuple[Domain, list[np.ndarray]]:
    """Translate pictures into PNG files of the same names; returns these and the heat maps.

    There are none of a method that has no heat maps to show. Of a method with styles, each picture
    has one drawn by its place and seed 0.
    """
    names = _png_names(sources.names)
    heatmaps: list[np.ndarray] = []
    fitted = (translator.prepare(sources.load(i)) for i in range(len(names)))
    results = translator.translate(fitted, direction)
    for name, result in zip(
        names, tqdm(results, direction, len(names), unit="picture", disable=None), strict=True
    ):
        save_png(folder / name, result.picture)
        if result.looks:
            heatmaps.append(result.heatmap)
    return Domain(names, [folder / name for name in names]), heatmaps


def _png_names(names: Sequence[str]) -> list[str]:
    targets = [str(PurePath(name).with_suffix(".png")) for name in names]
    named: dict[str, str] = {}
    for name, target in zip(names, targets, strict=True):
        if target in named:
            raise InputError(
                f"test pictures {printable(named[target])} and {printable(name)} would both become "
                f"{printable(target)}: rename one"
            )
        named[target] = name
    return targets
