"""Cats (A) and dogs (B), from DRIT.

    python -m ugatit_jax.main --config=configs/cat2dog.py
    python -m ugatit_jax.main --config=configs/cat2dog.py:light
    python -m ugatit_jax.main --config=configs/cat2dog.py:drit

The set is linked from DRIT's project page.
The paper reports KID×100 7.07 ± 0.65, and 8.15 ± 0.66 back; it is the mean of two KIDs.
Hardware, time per step and score of ours: not yet run.
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting; `variant` "light" for the light generators."""
    config = fields.get_config(variant)
    config.data.source = "data/cat2dog"
    return config
