"""Weights of the authors' own implementations."""
