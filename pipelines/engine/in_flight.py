"""`settings.max_in_flight` of a pipeline: so many of its messages and calls are on their way at the same time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count

from pipelines.engine.leases import requeue
from pipelines.engine.programs import LoadedProgram
from pipelines.models import Effect, EngineState

# Where others hold all places, the rest is looked at again this much later.
AGAIN = timedelta(seconds=5)


def flight_of(loaded: LoadedProgram, pipeline_id: int) -> dict[str, Any]:
    """What an effect carries so that its lease knows the cap; nothing without one."""
    most = loaded.program.settings.get("max_in_flight")
    return {"flight": [pipeline_id, int(most)]} if most else {}


def within_caps(leased: Sequence[Effect], *, now: datetime) -> tuple[list[Effect], bool]:
    """Of effects leased in this transaction those that may fly, and whether others went back that may follow at once.

    The places of a pipeline are given by one worker at a time. Pipelines without a cap cost nothing.
    """
    caps: dict[int, int] = {}
    for effect in leased:
        if flight := effect.payload.get("flight"):
            pipeline_id, most = flight
            # Effects of several versions: the smallest number that any of them names.
            caps[pipeline_id] = min(int(most), caps.get(pipeline_id, int(most)))
    if not caps:
        return list(leased), False
    taken = _taken_by_others(caps, leased)
    kept: list[Effect] = []
    surplus: list[Effect] = []
    for effect in leased:
        flight = effect.payload.get("flight")
        if flight is None or taken[flight[0]] < caps[flight[0]]:
            kept.append(effect)
            if flight is not None:
                taken[flight[0]] += 1
        else:
            surplus.append(effect)
    ours = {effect.payload["flight"][0] for effect in kept if "flight" in effect.payload}
    soon = [effect for effect in surplus if effect.payload["flight"][0] in ours]
    late = [effect for effect in surplus if effect.payload["flight"][0] not in ours]
    for effects, until in ((soon, now), (late, now + AGAIN)):
        if effects:
            requeue(effects, until)
    return kept, bool(soon)


def _taken_by_others(caps: Mapping[int, int], leased: Sequence[Effect]) -> Counter[int]:
    names = [f"flight:{pipeline_id}" for pipeline_id in sorted(caps)]
    EngineState.objects.bulk_create([EngineState(name=name) for name in names], ignore_conflicts=True)
    # In one order, so that two workers never wait for each other.
    list(EngineState.objects.filter(name__in=names).order_by("name").select_for_update())
    flying = Effect.objects.filter(
        run__pipeline_id__in=caps, status__in=[Effect.Status.LEASED, Effect.Status.SENDING]
    ).exclude(pk__in=[effect.pk for effect in leased])
    rows = flying.order_by().values_list("run__pipeline_id").annotate(n=Count("pk"))
    return Counter(dict(rows))
