"""Score folders of pictures, whatever made them, and show them from best to worst."""

from pathlib import Path

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain, refuse_broken
from ugatit_jax.data.pairs import match_names
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.evaluation.presentation import claim_folder, section, write_report
from ugatit_jax.evaluation.report import Report, section_title
from ugatit_jax.evaluation.scores import PictureSet, score
from ugatit_jax.metrics.features import open_extractor


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
    Returns the report and the folder that it was written to. Raises `InputError` for folders that
    cannot be scored, and, with the names of all of them, for pictures that cannot be read: scores
    of the others would be of another set.
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
    compared = {"translated": fake, "target": real}
    refuse_broken(compared if before is None else compared | {"source": before})
    extractor = open_extractor(features)
    folder = out or Path("evaluation") / resolve(translated).name
    report: Report = {
        "data": [str(resolve(path)) for path in folders.values()],
        "scored": counts,
        "features": extractor.describe(),
        "directions": {},
    }
    claim_folder(folder, report, overwrite)
    scores = score(
        PictureSet.of(fake, extractor, "translated"),
        PictureSet.of(real, extractor, "target"),
        None if before is None else PictureSet.of(before, extractor, "source"),
        paired=not why,
    )
    report["directions"]["translated"] = scores
    columns = {"translation": fake}
    if why:
        scores["unpaired"] = {"the source": why}
    elif before is not None:
        columns = {"input": before, "translation": fake}
    sections = {section_title("translated"): section(scores, columns, [])}
    write_report(
        folder, f"{resolve(translated).name} against {resolve(target).name}", report, sections
    )
    return report, folder


def _open_folder(folder: AnyPath) -> tuple[Domain, dict[str, int]]:
    """Return the pictures of a folder, and how many they are of how many."""
    files, left_out = images.find_images(folder)
    if not files:
        raise InputError(
            f"no pictures in {folder}: it needs {', '.join(sorted(images.EXTENSIONS))}"
        )
    names = [file.relative_to(folder).as_posix() for file in files]
    return Domain(names, files), {"scored": len(files), "found": len(files) + left_out}
