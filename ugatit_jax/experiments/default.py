"""The paper's setting without a data set; `ugatit_jax/config/fields.py` explains every field.

python -m ugatit_jax.main --config=configs/default.py:light --config.data.source=my_pictures
"""

from ugatit_jax.config.fields import get_config

__all__ = ["get_config"]
