"""Selfies (A) and anime faces (B): 3 400 training and 100 test pictures per domain, 256 px.

    python -m ugatit_jax.main --config=configs/selfie2anime.py
    python -m ugatit_jax.main --config=configs/selfie2anime.py:light
    python -m ugatit_jax.main --config=configs/selfie2anime.py:light,shapes

The set is linked from the repositories of the authors' two implementations.
The paper reports KID×100 11.61 ± 0.57, and 11.52 ± 0.57 back; it is the mean of two KIDs.
Hardware, time per step and score of ours: not yet run. `shapes` is what made pictures of other
faces in half an hour at 64 px (docs/quality.md).
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting; `variant` "light" for the light generators."""
    config = fields.get_config(variant)
    config.data.source = "data/selfie2anime"
    return config
