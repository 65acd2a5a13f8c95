"""Code of steps: run in the sandbox, with its result and its errors as the answer of its effect."""

from datetime import datetime

from django.conf import settings

from crm.channels.answers import storable
from crm.channels.base import Delivered, DeliveryResult, Refused
from pipelines.models import Effect
from pipelines.sandbox import running

SWITCHED_OFF = "Code steps are switched off in this installation: set PIPELINES_CODE_STEPS=1."


def run_code(effect: Effect, *, now: datetime) -> DeliveryResult:
    """One run; never raises. It reads data alone, so that it may be done again."""
    if not settings.PIPELINES_CODE_STEPS:
        return Refused(code="validation", detail=SWITCHED_OFF, permanent=True)
    payload = effect.payload
    ran = running.run(payload["source"], context=payload["context"], now=now, seconds=float(payload["seconds"]))
    if ran.passing:
        return Refused(code="connection", detail=ran.error, permanent=False)
    if ran.error:
        return Refused(code="code", detail=ran.error, permanent=True)
    return Delivered(reference="", detail=storable({"value": ran.value, "printed": ran.printed}))
