"""Records that others watch: what follows from saving one is committed with it, or not at all."""

from typing import Any

from django.db import transaction

from crm.models import TeamScoped


class Observed(TeamScoped):
    """A record whose `post_save` handlers run in the transaction that writes it.

    By itself Django commits a lone `save()` before it sends the signal: a process that dies in between leaves a
    contact without its runs, and a sweep that looks in between enrolls it a second time.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
