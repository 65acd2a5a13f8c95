"""English, without a.m. and without guessing whether day or month comes first."""
