"""Photographs (A) and painted portraits (B), from DRIT.

    python -m ugatit_jax.main --config=configs/photo2portrait.py
    python -m ugatit_jax.main --config=configs/photo2portrait.py:light

The set is linked from DRIT's project page.
The paper reports KID×100 1.79 ± 0.34, and 1.69 ± 0.53 back; it is the mean of two KIDs.
Hardware, time per step and score of ours: not yet run.
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting; `variant` "light" for the light generators."""
    config = fields.get_config(variant)
    config.data.source = "data/photo2portrait"
    return config
