"""The learned ρ of AdaLIN and LIN, by layer and channel, in the checkpoints that a run kept.

1 is instance normalisation, which keeps what a picture is; 0 is layer normalisation, which changes
it more. The paper: residual blocks prefer instance normalisation, up-sampling ones the layer's.
"""

import re
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from ugatit_jax.comparison.arms import Run
from ugatit_jax.runs.checkpoints import restore_weights
from ugatit_jax.runs.directory import saved_steps
from ugatit_jax.viewing.plots import svg

COLUMNS = 6  # panels beside each other


def learned_rho(run: Run, direction: str) -> dict[str, dict[int, np.ndarray]]:
    """Return {layer: {step: ρ [channels]}} of a direction's generator, layers in their order.

    Empty for an export, which has no history, and for networks without a ρ.
    """
    found: dict[str, dict[int, np.ndarray]] = {}
    for step in saved_steps(run.path):
        _, _, weights = restore_weights(run.path, step)
        for layer, rho in _rho_of(weights.get(direction, {})).items():
            found.setdefault(layer, {})[step] = rho
    return {layer: found[layer] for layer in sorted(found, key=_order)}


def _rho_of(weights: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(weights)[0]
    named = {"/".join(entry.key for entry in path): leaf for path, leaf in leaves}
    return {
        name.removesuffix("/rho"): np.asarray(leaf)
        for name, leaf in named.items()
        if name.endswith("/rho")
    }


def _order(layer: str) -> tuple[bool, list[int]]:
    """Residual blocks come before up-sampling ones, and each by number."""
    return layer.startswith("up"), [int(number) for number in re.findall(r"\d+", layer)]


def plot_rho(layers: dict[str, dict[int, np.ndarray]], title: str) -> bytes:
    """Draw ρ as an SVG file: a panel for each layer, channels up, sorted by the last step's ρ."""
    rows = -(-len(layers) // COLUMNS)
    columns = min(COLUMNS, len(layers))
    figure = Figure(figsize=(1.9 * columns + 1, 2.2 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(layers) :]:
        panel.axis("off")
    for panel, (layer, by_step) in zip(panels.flat, layers.items(), strict=False):
        steps, values = sorted(by_step), np.stack([by_step[step] for step in sorted(by_step)], 1)
        values = values[np.argsort(values[:, -1])]
        image = panel.imshow(values, aspect="auto", origin="lower", vmin=0, vmax=1, cmap="viridis")
        panel.set_title(f"{layer}\nmean {values[:, -1].mean():.2f}", fontsize=8)
        panel.set_xticks(range(len(steps)), [f"{x:,}" for x in steps], rotation=90, fontsize=6)
        panel.set_yticks([])
    figure.colorbar(image, ax=panels, label="ρ", shrink=0.8)
    figure.suptitle(title, fontsize=10)
    return svg(figure)
