"""Pictures for people: overlays, grids, plots, the gallery page.

Nothing here loads a picture by itself or runs a network.
"""
