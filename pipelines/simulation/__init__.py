"""Pipelines tried out: the engine itself in a database of its own in memory, on a clock that jumps."""
