"""Score translated pictures, a run's or any program's, and show them from best to worst."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain, open_dataset, scan
from ugatit_jax.data.storage import (
    AnyPath,
    first_line,
    make_folder,
    resolve,
    write_atomically,
)
from ugatit_jax.evaluation.pairs import match_names
from ugatit_jax.evaluation.report import (
    PictureSet,
    Report,
    Scores,
    about,
    notes,
    order,
    render,
    score,
    tables,
)
from ugatit_jax.inference.translator import BATCH, Translator
from ugatit_jax.metrics.features import FeatureExtractor, open_extractor
from ugatit_jax.runs.checkpoints import Step, describe_checkpoint
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.visualize import DIRECTION_TITLES, attention_overlay, save_png

Counts = dict[str, dict[str, int]]  # {'target': {'scored': 4, 'found': 12}}

GALLERY_ENDS = 50  # so many of the best and of the worst are shown


def evaluate_run(
    run_dir: AnyPath,
    step: Step = None,
    data: str = "",
    features: str = "auto",
    limit: int | None = None,
    out: AnyPath | None = None,
    overwrite: bool = False,
) -> tuple[Report, AnyPath]:
    """Translate the test pictures of a run's data set and score them.

    step: of the checkpoint; 'best', by its KID while training; None: the newest. data: another
    data set, as `config.data.source` names it. features: as `open_extractor` takes it. limit: at
    most so many test pictures of each domain. out: where to write; None: RUN_DIR/evaluation/STEP.
    Returns the report and the folder that everything was written to. Raises `InputError` for a bad
    run directory or data set, and where a report on something else would be overwritten.
    """
    translator = Translator.load(run_dir, step)
    checkpoint = describe_checkpoint(run_dir, translator.step)
    config = load_config(run_dir / "config.json").data
    # A number may name the best step, too; the newest was not chosen.
    chosen = step is not None and "best" in checkpoint["is"] and data in ("", config.source)
    config.source = data or config.source
    test_a, test_b, paired, counts = _test_pictures(config, limit)
    extractor = open_extractor(features, config.cache_dir)
    folder = out or run_dir / "evaluation" / str(translator.step)
    report: Report = {
        "run": str(resolve(run_dir)),
        "checkpoint": checkpoint,
        "chosen_on_these_pictures": chosen,
        "data": config.source,
        "image_size": list(translator.image_size),
        "scored": counts,
        "features": _describe(extractor),
        "directions": {},
    }
    _claim(folder, report, overwrite)
    real_a, real_b = _with_features(extractor, test_a, "A"), _with_features(extractor, test_b, "B")
    sections = {}
    for direction, source, target in (("a2b", real_a, real_b), ("b2a", real_b, real_a)):
        if not len(source.pictures):
            continue
        pictures, heatmaps = translate_into(
            folder / direction, translator, direction, source.pictures
        )
        translated = _with_features(extractor, pictures, f"{direction}, translated")
        indices, why = match_names(source.pictures.names, target.pictures.names)
        counterpart = target.take(indices) if paired and not why else None
        scores = score(translated, target, source, counterpart, paired=True)
        report["directions"][direction] = scores
        columns = {"input": source.pictures, "translation": pictures}
        if counterpart is not None:
            columns["true counterpart"] = counterpart.pictures
        elif paired:
            scores["unpaired"] = {"the true counterparts": why}
        sections[DIRECTION_TITLES[direction]] = _section(scores, columns, heatmaps)
    _write(folder, f"{resolve(run_dir).name}, step {translator.step:,}", report, sections)
    return report, folder


def evaluate_folders(
    translated: AnyPath,
    target: AnyPath,
    source: AnyPath | None = None,
    features: str = "auto",
    out: AnyPath | None = None,
    overwrite: bool = False,
) -> tuple[Report, AnyPath]:
    """Score the pictures in a folder, whatever made them.

    target: real pictures of the domain that they should look like. source: what was translated;
    if it has one picture of the name of each translated one, they are compared one by one. features
    and overwrite: as in `evaluate_run`. out: where to write; None: evaluation/NAME of `translated`.
    Returns the report and the folder that it was written to.
    """
    folders = {"translated": translated, "target": target}
    if source is not None:
        folders["source"] = source
    domains, counts = {}, {}
    for name, path in folders.items():
        domains[name], counts[name] = _open_folder(path)
    fake, real, before = domains["translated"], domains["target"], domains.get("source")
    indices, why = match_names(fake.names, before.names) if before is not None else ([], "")
    if before is not None and not why:
        before = before.take(indices)
        counts["source"] |= {"scored": len(before)}
    extractor = open_extractor(features)
    folder = out or Path("evaluation") / resolve(translated).name
    report: Report = {
        "data": [str(resolve(path)) for path in folders.values()],
        "scored": counts,
        "features": _describe(extractor),
        "directions": {},
    }
    _claim(folder, report, overwrite)
    scores = score(
        _with_features(extractor, fake, "translated"),
        _with_features(extractor, real, "target"),
        None if before is None else _with_features(extractor, before, "source"),
        paired=not why,
    )
    report["directions"]["translated"] = scores
    columns = {"translation": fake}
    if why:
        scores["unpaired"] = {"the source": why}
    elif before is not None:
        columns = {"input": before, "translation": fake}
    sections = {"Translated": _section(scores, columns, [])}
    _write(folder, f"{resolve(translated).name} against {resolve(target).name}", report, sections)
    return report, folder


def _test_pictures(data: Any, limit: int | None) -> tuple[Domain, Domain, bool, Counts]:
    """Return the test pictures of A and of B as they are translated.

    With them: whether they are pairs, and how many there are of how many.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} leaves no pictures: give 1 or more")
    dataset = open_dataset(data)
    found = len(dataset.test_a), len(dataset.test_b)
    if data.skip_bad:
        dataset = scan(dataset, skip_bad=True)
    if not (dataset.test_a or dataset.test_b):
        raise InputError(f"no test pictures in {data.source}: put some into its testA and testB")
    a, b = (
        dataclasses.replace(domain.first(limit), size=tuple(data.image_size))
        for domain in (dataset.test_a, dataset.test_b)
    )
    counts = {
        name: {"scored": len(domain), "found": count}
        for name, domain, count in zip(("test A", "test B"), (a, b), found, strict=True)
    }
    return a, b, dataset.paired_test, counts


def _open_folder(folder: AnyPath) -> tuple[Domain, dict[str, int]]:
    """Return the pictures of a folder, and how many they are of how many."""
    files, left_out = images.find_images(folder)
    if not files:
        raise InputError(
            f"no pictures in {folder}: it needs {', '.join(sorted(images.EXTENSIONS))}"
        )
    names = [file.relative_to(folder).as_posix() for file in files]
    return Domain(names, files), {"scored": len(files), "found": len(files) + left_out}


def _with_features(extractor: FeatureExtractor, pictures: Domain, what: str) -> PictureSet:
    loaded = map(pictures.load, range(len(pictures)))
    return PictureSet(pictures, extractor(loaded, len(pictures), f"features of {what}"))


def _describe(extractor: FeatureExtractor) -> dict[str, Any]:
    return {
        "extractor": extractor.name,
        "dimension": extractor.dimension,
        "sha256": extractor.sha256,
        "preprocessing": extractor.preprocessing,
    }


def translate_into(
    folder: AnyPath, translator: Translator, direction: str, sources: Domain
) -> tuple[Domain, list[np.ndarray]]:
    """Translate pictures into PNG files of the same names; returns these and the heat maps."""
    names = _png_names(sources.names)
    heatmaps: list[np.ndarray] = []
    with tqdm(total=len(names), desc=direction, unit="picture", disable=None) as progress:
        for start in range(0, len(names), BATCH):
            indices = range(start, min(start + BATCH, len(names)))
            inputs = [sources.load(i) for i in indices]
            translations, of_batch = translator.with_attention(inputs, direction)
            for i, translation in zip(indices, translations, strict=True):
                save_png(folder / names[i], translation)
            heatmaps.extend(of_batch)
            progress.update(len(indices))
    return Domain(names, [folder / name for name in names]), heatmaps


def _png_names(names: Sequence[str]) -> list[str]:
    targets = [str(Path(name).with_suffix(".png")) for name in names]
    named: dict[str, str] = {}
    for name, target in zip(names, targets, strict=True):
        if target in named:
            raise InputError(
                f"test pictures {named[target]} and {name} would both become {target}: rename one"
            )
        named[target] = name
    return targets


def _claim(folder: AnyPath, report: Report, overwrite: bool) -> None:
    """Raise `InputError` if a report on other pictures or by other features is in the folder."""
    path = folder / "report.json"
    if path.exists() and not overwrite:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = {}
        for field in ("data", "features"):
            if before.get(field) != report[field]:
                raise InputError(
                    f"{path} is a report of other {field}: say another --out, or --overwrite"
                )
    try:
        make_folder(folder)
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {first_line(error)}") from None


def _section(
    scores: Scores, columns: dict[str, Domain], heatmaps: Sequence[np.ndarray]
) -> GallerySection:
    """The pictures from best to worst, or both ends of a long list."""
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


def _write(
    folder: AnyPath, title: str, report: Report, sections: dict[str, GallerySection]
) -> None:
    """Write the report in its three forms."""
    write_atomically(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / "report.md", render(title, report))
    write_gallery(folder / "index.html", title, sections, about(report), notes(report))
