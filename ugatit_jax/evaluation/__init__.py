"""From translated pictures to scores, tables and reports.

Nothing here trains; the scores themselves are in `metrics`.
"""
