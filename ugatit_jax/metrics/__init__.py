"""How good pictures are: feature extractors, and the distances computed from their features."""
