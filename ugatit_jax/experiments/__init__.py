"""Experiments, as `--config` names them. Every file has a `get_config(variant)`, and runs by path.

`configs/` of a checkout is this folder. `ugatit_jax/config/fields.py` explains every field.
"""
