"""A pipeline as a picture and in words: pure, deterministic, the same wherever it is shown."""
