"""The model that comes with the program, `translate emoji`: the demo's pictures, a wider network.

python -m ugatit_jax.main --config=configs/emoji.py
python -m ugatit_jax.export runs/emoji --out ugatit_jax/trained/emoji --dtype bfloat16
"""

from ml_collections import ConfigDict

from ugatit_jax.experiments import demo


def get_config(variant: str = "") -> ConfigDict:
    """The demo's, longer and with more channels; `variant` as the demo's."""
    config = demo.get_config(variant)
    config.model.base_width = 32
    config.train.steps = 11_000
    config.samples.every = 1_000
    config.eval.every = 2_000
    config.checkpoint.every = 1_000
    return config
