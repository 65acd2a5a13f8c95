"""Pipelines by key or id, wherever the API names one."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.exceptions import ValidationError

from crm.models import Team
from pipelines.models import Pipeline


def pipeline_named(*, rows: QuerySet[Pipeline], name: str) -> Pipeline:
    """The pipeline with this key or id; raises Http404. Keys begin with a letter, so the two never meet."""
    found = rows.filter(pk=int(name)) if name.isascii() and name.isdigit() else rows.filter(key=name)
    pipeline = found.first()
    if pipeline is None:
        raise Http404
    return pipeline


def filter_by_pipeline(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Narrow rows with a pipeline to one, by key or id."""
    if text.isascii() and text.isdigit():
        if len(text) > 18:
            raise ValidationError({"pipeline": ["There is no such pipeline."]})
        return rows.filter(pipeline_id=int(text))
    return rows.filter(pipeline__key=text)


def pipeline_of_team(*, team: Team, name: Any) -> Pipeline:
    """The pipeline a request names in its body; raises ValidationError as for one that does not exist."""
    try:
        return pipeline_named(rows=Pipeline.objects.for_team(team), name=str(name)[:40])
    except Http404:
        raise ValidationError({"pipeline": ["There is no such pipeline."]}) from None
