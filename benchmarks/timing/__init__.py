"""How things are timed: in turns, a training step by itself, trainings for the same minutes."""
