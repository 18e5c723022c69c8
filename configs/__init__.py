"""Experiments. Every file has a `get_config(variant)`; every field is explained in default.py."""
