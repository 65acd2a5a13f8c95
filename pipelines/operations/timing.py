"""What keeps a trigger that goes by the clock from being published."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from pipelines.definition.conditions import ConditionError, compile_condition
from pipelines.definition.cron import CronError, read_schedule
from pipelines.definition.document import Problem


def timed_problems(trigger: Mapping[str, Any], at: str, subject: str | None) -> Iterator[Problem]:
    """Schedules that cannot be read or never come, and records that cannot be looked for."""
    if trigger["type"] == "cron":
        try:
            read_schedule(trigger["cron"], trigger.get("tz") or "UTC")
        except CronError as error:
            yield Problem(f"{at}.{'tz' if 'time zone' in str(error) else 'cron'}", str(error))
    if trigger["type"] == "segment" and subject is None:
        yield Problem(f"{at}.type", "a segment holds records, so say in 'subject' which kind the pipeline takes")
    if "for_each" in trigger:
        yield from _each_problems(trigger["for_each"], f"{at}.for_each", subject)


def _each_problems(each: Mapping[str, Any], at: str, subject: str | None) -> Iterator[Problem]:
    for name in sorted(set(each) - {"model", "where"}):
        yield Problem(f"{at}.{name}", "is not known; there are model and where")
    model = each.get("model")
    if model not in settings.PIPELINES_SUBJECTS:
        yield Problem(f"{at}.model", f"must be one of {', '.join(settings.PIPELINES_SUBJECTS)}")
    elif subject is not None and model != subject:
        yield Problem(f"{at}.model", f"must be the subject of the pipeline, {subject}")
    if each.get("where") not in (None, []):
        try:
            compile_condition(each["where"])
        except ConditionError as error:
            yield Problem(f"{at}.where", str(error))
