"""Links between the admin's pages, and times as people say them."""

from datetime import datetime
from typing import Any

from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil

from pipelines.models import PipelineRun

JUST_NOW = 60


def address_of(row: Model) -> str:
    """The page of a row, or an empty text when it has none."""
    try:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))
    except NoReverseMatch:
        return ""


def link_to(row: Model, text: object = "") -> str:
    """The row's name, linked to its page if it has one."""
    address = address_of(row)
    shown = str(text or row)
    return format_html('<a class="pl-link" href="{}">{}</a>', address, shown) if address else format_html("{}", shown)


def subject_words(run: PipelineRun) -> str:
    """Who or what a run is about; also when the record is gone."""
    if run.subject_id is None:
        return "No record"
    return str(run.subject or f"Deleted {run.subject_type.name if run.subject_type else 'record'} {run.subject_id}")


def subject_link(run: PipelineRun) -> str:
    """The subject of a run, linked to its page."""
    found: Any = run.subject
    return link_to(found) if found is not None else format_html("{}", subject_words(run))


def clock_time(moment: datetime) -> str:
    """A moment to the minute, such as "Mon 2 March 2026, 09:00"."""
    return date_format(timezone.localtime(moment), "D j M Y, H:i")


def from_now(moment: datetime, now: datetime) -> str:
    """A moment as seen from now: "in 2 days", "3 hours ago"."""
    if abs((moment - now).total_seconds()) < JUST_NOW:
        return "now"
    said = timeuntil(moment, now, depth=1) if moment > now else timesince(moment, now, depth=1)
    # Django keeps number and unit together with a hard space, which is no use in a table.
    said = said.replace("\xa0", " ")
    return f"in {said}" if moment > now else f"{said} ago"


def table_time(moment: datetime | None, now: datetime) -> str:
    """A moment for a column: far or near in words, exactly on pointing at it."""
    if moment is None:
        return "—"
    return format_html('<time class="pl-time" datetime="{}" title="{}">{}</time>', *_parts(moment, now))


def _parts(moment: datetime, now: datetime) -> tuple[str, str, str]:
    return moment.isoformat(), clock_time(moment), from_now(moment, now)
