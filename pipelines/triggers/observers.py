"""The observers: signals that turn a saved record into runs."""


def connect() -> None:
    """Connect every observer."""
