"""Photographs (A) and paintings by Van Gogh (B), from CycleGAN.

    python -m ugatit_jax.main --config=configs/photo2vangogh.py
    python -m ugatit_jax.main --config=configs/photo2vangogh.py:light

CycleGAN's site has it as vangogh2photo; its trainA is our trainB, and so on.
The paper reports KID×100 4.28 ± 0.33, and 5.61 ± 0.32 back; it is the mean of two KIDs.
Hardware, time per step and score of ours: not yet run.
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting; `variant` "light" for the light generators."""
    config = fields.get_config(variant)
    config.data.source = "data/photo2vangogh"
    return config
