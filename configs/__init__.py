"""Experiments. Every file has a `get_config(variant)`.

`ugatit_jax/config/fields.py` explains every field.
"""
