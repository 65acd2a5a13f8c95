"""Why a backup cannot be made or used."""


class Refused(Exception):
    """Nothing was changed; the text says why, and what helps."""
