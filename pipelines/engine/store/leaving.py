"""Effects on their way out: fenced by the number of their lease, marked before they leave."""

from collections.abc import Mapping, Sequence

from django.db import connection

from crm.unsubscribe import HANDING_OVER_LOCK
from pipelines.engine.store.arrays import numbers
from pipelines.models import Effect

HELD = """
SELECT e.id FROM pipelines_effect e
  JOIN unnest(%s::bigint[], %s::smallint[]) AS u(id, attempt) ON u.id = e.id AND u.attempt = e.attempt
 WHERE e.status = ANY(%s::smallint[]) ORDER BY e.id FOR UPDATE OF e
"""
# Who unsubscribes waits for this lock, so that a look at suppressions and the marks made after it are one for them.
MARKED = f"""
WITH held AS ({HELD}) UPDATE pipelines_effect e SET status = %s FROM held WHERE e.id = held.id
RETURNING e.id, pg_advisory_xact_lock_shared({HANDING_OVER_LOCK})
"""  # noqa: S608


class Leaving:
    """By Django's ORM."""

    def hold_effects(
        self, attempts: Mapping[int, int], *, statuses: Sequence[int], then: int | None = None
    ) -> set[int]:
        """Lock effects of these statuses whose lease, by its number, is the given one, until the transaction ends.

        With `then` they get that status.
        """
        rows = Effect.objects.filter(pk__in=attempts, status__in=statuses).order_by("pk").select_for_update()
        held = {pk for pk, attempt in rows.values_list("pk", "attempt") if attempts[pk] == attempt}
        if then is not None:
            Effect.objects.filter(pk__in=held).update(status=then)
        return held


class LeavingAtOnce(Leaving):
    """By one statement each, for PostgreSQL."""

    def hold_effects(
        self, attempts: Mapping[int, int], *, statuses: Sequence[int], then: int | None = None
    ) -> set[int]:
        given = [numbers(attempts), numbers(attempts.values()), numbers(map(int, statuses))]
        with connection.cursor() as cursor:
            if then is None:
                cursor.execute(HELD, given)
            else:
                cursor.execute(MARKED, [*given, int(then)])
            return {pk for pk, *_ in cursor.fetchall()}
