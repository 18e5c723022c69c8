"""The loop and what it does at every step: update, log, sample, measure, save.

Nothing here knows which method it trains.
"""
