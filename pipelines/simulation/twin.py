"""Answers for the outside: what a scenario says a step's work comes back with, else that it went well."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import transaction

from crm.channels.base import Code, Delivered, Refused, Unknown
from pipelines.engine.advance import Progress
from pipelines.engine.clock import engine_now, real_now
from pipelines.engine.coded import run_code
from pipelines.engine.deliver import LEASE_LIMIT, Delivery
from pipelines.engine.glance import look_for_work
from pipelines.engine.kinds import MESSAGES
from pipelines.engine.leases import start_sending
from pipelines.engine.post import Post, built
from pipelines.engine.settle import Result, settle
from pipelines.engine.store import store
from pipelines.models import Effect, PipelineRun, PipelineStep, StepExecution
from pipelines.simulation.scenario import ScenarioError

LEASE = timedelta(days=1)
# What time may mend unless a stub says otherwise.
PASSING = frozenset({"timeout", "connection", "http_5xx", "http_429", "smtp_4xx"})
ERRORS = (*sorted(PASSING), "http_4xx", "smtp_5xx", "validation", "blocked", "code")


class OutsideTwin:
    """Settles effects as the channels would, with answers from stubs; it sends nothing."""

    def __init__(self, stubs: Mapping[str, Sequence[Any]]) -> None:
        self._stubs = stubs
        self._given: Counter[tuple[int, str]] = Counter()
        # Keys of steps whose answers nobody gave, by kind of effect.
        self.assumed: dict[str, str] = {}

    def __call__(self, *, now: datetime) -> Delivery:
        total = Delivery(progress=Progress())
        for kind in sorted(look_for_work(now=now).kinds):
            while effects := self._lease(kind, now):
                results = self._results(kind, effects, now)
                total.tried += len(results)
                total.sent += sum(1 for _, result in results if isinstance(result, Delivered))
                assert total.progress is not None  # noqa: S101 - made four lines above
                total.progress.add(settle(results, now=now))
        return total

    def _lease(self, kind: int, now: datetime) -> list[Effect]:
        taken = real_now()
        with transaction.atomic():
            leased = store().lease_effects(
                kind=kind, now=now, real_now=taken, until=taken + LEASE, limit=LEASE_LIMIT, worker=os.getpid()
            )
        # What is asked at one moment is answered in the order in which it began: rounds and branches by their places.
        return sorted(leased, key=lambda effect: (effect.available_at, effect.run_id, effect.seq, effect.n))

    def _results(self, kind: int, effects: list[Effect], now: datetime) -> list[tuple[Effect, Result]]:
        places = _places(effects)
        if kind not in MESSAGES:
            return [(effect, self._answer(effect, places)) for effect in start_sending(effects)]
        ready, skipped = Post().start(effects, now=now)
        results: list[tuple[Effect, Result]] = [*skipped]
        for effect, message in ready:
            mail = built(message) if kind == Effect.Kind.EMAIL else None
            results.append((effect, mail if isinstance(mail, Refused) else self._answer(effect, places)))
        return results

    def _answer(self, effect: Effect, places: Mapping[int, tuple[int, str]]) -> Result:
        root, key = places[effect.pk]
        given = self._stubs.get(key, ())
        if not given:
            if effect.kind in MESSAGES:
                return Delivered(reference="simulated")
            if effect.kind == Effect.Kind.CODE:
                # It sees data alone and reaches nothing, so it runs as it always does.
                return run_code(effect, now=engine_now())
            self.assumed[key] = effect.get_kind_display()
            detail = {"status": 200, "body": None} if effect.kind == Effect.Kind.HTTP else {}
            return Delivered(reference="simulated", detail=detail)
        turn = self._given[root, key]
        self._given[root, key] += 1
        return result_of(given[min(turn, len(given) - 1)], kind=effect.kind)


def _places(effects: Sequence[Effect]) -> dict[int, tuple[int, str]]:
    """(root run, key of the step) of each effect."""
    runs = {
        pk: (root or pk, step, seq)
        for pk, root, step, seq in PipelineRun.objects.filter(pk__in={effect.run_id for effect in effects}).values_list(
            "pk", "root_id", "step_id", "seq"
        )
    }
    # A run that did not wait has moved on; the log knows where it stood.
    left = {
        (run_id, seq): step
        for run_id, seq, step in StepExecution.objects.filter(run_id__in=runs).values_list("run_id", "seq", "step_id")
    }
    keys = dict(PipelineStep.objects.values_list("pk", "key"))
    found = {}
    for effect in effects:
        root, step, seq = runs[effect.run_id]
        stood = step if seq == effect.seq else left.get((effect.run_id, effect.seq), step)
        found[effect.pk] = (root, keys.get(stood or 0, ""))
    return found


def result_of(stub: Any, *, kind: int) -> Result:
    """A stub as the answer of a channel: a result, or `{"error": code}`, `{"uncertain": true}`."""
    if isinstance(stub, str) and stub in ERRORS:
        stub = {"error": stub}
    if not isinstance(stub, Mapping):
        return Delivered(reference="simulated", detail=_detail(stub, kind=kind))
    if stub.get("uncertain") is True:
        return Unknown(detail=str(stub.get("detail") or "The answer was lost."))
    if "error" in stub:
        code = str(stub["error"])
        retry_after = stub.get("retry_after")
        return Refused(
            code=cast(Code, code),
            detail=str(stub.get("detail") or f"The scenario says: {code}."),
            permanent=bool(stub.get("permanent", code not in PASSING)),
            retry_after=None if retry_after is None else float(retry_after),
        )
    return Delivered(reference="simulated", detail=_detail(stub, kind=kind))


def _detail(stub: Any, *, kind: int) -> dict[str, Any]:
    if kind == Effect.Kind.CODE:
        # What the code would have left in `result`.
        return {"value": stub, "printed": ""}
    if kind != Effect.Kind.HTTP:
        return dict(stub) if isinstance(stub, Mapping) else {"result": stub}
    if isinstance(stub, Mapping) and "status" in stub:
        return {"body": None, **stub}
    return {"status": 200, "body": stub}


def check_stubs(stubs: Mapping[str, Sequence[Any]], *, keys: Sequence[str], at: str = "stubs") -> None:
    """Raises ScenarioError for answers of steps that do not exist and for errors no channel knows."""
    for key, given in stubs.items():
        if key not in keys:
            raise ScenarioError(f"{at}.{key}", f"there is no such step; there are {', '.join(keys)}")
        for index, stub in enumerate(given):
            if isinstance(stub, Mapping) and "error" in stub and stub["error"] not in ERRORS:
                raise ScenarioError(f"{at}.{key}[{index}].error", f"must be one of {', '.join(ERRORS)}")
