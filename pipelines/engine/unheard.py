"""A commit whose answer is lost, for fault points that stand right before one."""

from django.db import connection


def commit_unheard() -> None:
    """Commit at the database behind Django's back: it goes on to believe that nothing was committed."""
    connection.connection.commit()
