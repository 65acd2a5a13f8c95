"""Speeds, each beside the floor of the same durable changes by raw SQL in the same run."""
