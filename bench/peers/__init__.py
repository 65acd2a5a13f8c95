"""Other products doing the same job, each in an environment of its own: `python -m bench.peers`."""
