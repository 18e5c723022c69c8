"""What a training leaves on disk: the run directory, its checkpoints, exports of them.

Nothing here translates, trains or scores.
"""
