"""Trained generators at work: pictures of any size, files, folders, exports, attention.

Nothing here trains, or reads a run but through `runs`.
"""
