"""Weights of other implementations: names, layouts and files, in and out.

Nothing else in the package needs it.
"""
