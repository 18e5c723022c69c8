"""Horses (A) and zebras (B), from CycleGAN.

    python -m ugatit_jax.main --config=configs/horse2zebra.py
    python -m ugatit_jax.main --config=configs/horse2zebra.py:light
    python -m ugatit_jax.main --config=configs/horse2zebra.py:cyclegan

TensorFlow Datasets downloads the set on first use.
The paper reports KID×100 7.06 ± 0.80, and 7.47 ± 0.71 back; it is the mean of two KIDs.
Hardware, time per step and score of ours: not yet run.
"""

from ml_collections import ConfigDict

from ugatit_jax.config import fields


def get_config(variant: str = "") -> ConfigDict:
    """The paper's setting; `variant` "light" for the light generators."""
    config = fields.get_config(variant)
    config.data.source = "tfds:cycle_gan/horse2zebra"
    return config
