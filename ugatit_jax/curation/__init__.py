"""Pictures worth training on: what is wrong with a set, where sets come from, faces cut out.

Nothing here trains or knows a run. The command is `python -m ugatit_jax.data`, as people look for
it where data are; `ugatit_jax/data/__main__.py` holds the command line alone, as the files at the
top of the package do, and is the one module in `data/` that looks up, for what it hands over to.
"""
