"""A model card: what an export is, in the form that model hubs read."""

import json
from pathlib import Path
from typing import Any

from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.runs.directory import read_identity

REPORTS = "evaluation/*/report.json"


def write_card(run: AnyPath, step: int, licence: str = "") -> tuple[str, bytes | None]:
    """Return a card in Markdown and a picture for it, the newest sample grid, PNG; None: no grid.

    run: the training that an export was made of. licence: an SPDX identifier; without one the card
    says that there is none yet. Raises `InputError` for records that cannot be read.
    """
    config, identity = load_config(run / "config.json"), read_identity(run)
    counts = {} if identity is None else {k: v["count"] for k, v in identity.pictures.items()}
    of_training = ", ".join(f"{n:,} of {k[-1].upper()}" for k, n in counts.items() if "train" in k)
    grids = sorted((run / "samples").glob("step_*.png"))
    grid = grids[-1].read_bytes() if grids else None
    height, width = config.data.image_size
    head = {
        "library_name": "ugatit_jax",
        "pipeline_tag": "image-to-image",
        "tags": ["unpaired-image-translation", config.method, "jax"],
        "license": licence or "other",
    }
    lines = ["---", *(f"{k}: {json.dumps(v)}" for k, v in head.items()), "---", "", f"# {run.name}"]
    lines += ["", f"{config.method}, unpaired image-to-image translation between two domains."]
    lines += ["", "![Sample grid](samples.png)"] if grid else []
    lines += ["", "## Data and training", ""]
    lines += [f"Trained on `{Path(config.data.source).name}`: {of_training or 'not recorded'}; "]
    lines += [
        f"{width} × {height} px, {step:,} steps of {config.train.batch_size}, seed {config.seed}."
    ]
    lines += ["", "## Scores", "", *_scores(run)]
    lines += ["", "## Use", "", "```python", "from ugatit_jax import Translator", ""]
    lines += ['translator = Translator.load("THIS FOLDER, or hf://OWNER/NAME")']
    lines += ["translated = translator(picture)  # uint8 [h, w, 3]", "```", "", "## Limits", ""]
    lines += [
        "It knows what its training pictures show, framed as they are. It makes up what is not"
    ]
    lines += ["in a picture, and may show people as they are not: do not take it for evidence."]
    lines += ["", "## Licence", ""]
    lines += [
        licence or "Not chosen yet. The terms of the training pictures apply to what was learned."
    ]
    return "\n".join([*lines, ""]), grid


def _scores(run: AnyPath) -> list[str]:
    """The newest report's, by step."""
    reports = [report for path in run.glob(REPORTS) if (report := _read(path))]
    if not reports:
        return ["Not evaluated yet (`python -m ugatit_jax.evaluate`)."]
    report = max(reports, key=lambda x: x["step"])
    features = report["features"]["extractor"]
    lines = [f"Step {report['step']:,}, test pictures of the same data set, {features}'s features:"]
    lines += ["", "| direction | KID×100 | FID |", "|---|---:|---:|"]
    for direction, scores in report["directions"].items():
        for row in ("translated", "untranslated"):
            found: dict[str, Any] = scores["rows"].get(row, {})
            if kid := found.get("kid_x100"):
                title = direction if row == "translated" else f"{direction}, untranslated"
                lines.append(f"| {title} | {kid['mean']:.2f} | {found['fid']:.1f} |")
    return lines


def _read(path: AnyPath) -> dict[str, Any]:
    try:
        report = read_object(path)
        return report if {"step", "features", "directions"} <= report.keys() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}): evaluate again, or remove it") from None
