"""Code that people write, run in processes of its own, with text alone between them and us."""
