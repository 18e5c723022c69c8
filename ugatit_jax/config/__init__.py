"""Configs: every field, the command line that changes some, the checks, and how a run keeps them.

Nothing here reads pictures, makes a mesh or compiles.
"""
