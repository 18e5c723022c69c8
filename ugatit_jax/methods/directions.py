"""The directions of translation between two domains."""

DIRECTIONS = ("a2b", "b2a")
BACK = {"a2b": "b2a", "b2a": "a2b"}  # the direction that leads back
OTHER = {"a": "b", "b": "a"}  # the other domain
