"""Records that others watch: what follows from saving one is committed with it, or not at all."""

from typing import Any

from django.db import transaction
from django.db.transaction import TransactionManagementError

from crm.models import TeamScoped


class Observed(TeamScoped):
    """A record whose `post_save` handlers run in the transaction that writes it.

    By itself Django commits a lone `save()` before it sends the signal: a process that dies in between leaves a
    contact without its runs, and a sweep that looks in between enrolls it a second time.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using")
        with transaction.atomic(using=using):
            super().save(*args, **kwargs)
            if transaction.get_rollback(using):
                # A handler swallowed an error that broke the transaction: it would be rolled back in silence.
                raise TransactionManagementError(
                    "The record was not saved: a handler of its signal broke the transaction."
                )
