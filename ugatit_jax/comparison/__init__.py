"""Runs beside each other: scores, curves, what differs, the same pictures.

Nothing is measured here but by `evaluation`, in one go for all runs.
"""
