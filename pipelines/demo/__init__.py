"""A small company to look around in: people, contacts and three pipelines with three weeks of history."""
