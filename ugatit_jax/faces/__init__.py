"""Faces in pictures: where they are, and squares cut around them alike and pasted back.

Detectors come from packages that ship their weights, and are asked for by name where they are
missing. Nothing here knows a data set, a run or a network that translates.
"""
