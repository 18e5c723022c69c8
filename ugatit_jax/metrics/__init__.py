"""Scores of sets of pictures: features, KID, FID, similarity.

Nothing here knows a run, a method or a report.
"""
