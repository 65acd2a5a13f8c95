"""Records that fit a pipeline already enter when somebody says so, after a look at who they are."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from contacts.models import Contact, Segment
from contacts.segments import add_members
from crm.models import Team
from pipelines.engine.firing import SIZE
from pipelines.models import Firing, Pipeline, PipelineRun
from pipelines.operations import Refused, activate, enroll_existing, import_document, preview_existing
from tests.api import Api
from tests.pipelines.engine.building import NOON, document, later
from tests.pipelines.engine.conftest import Run, run_at, team

__all__ = ["run_at", "team"]
HOLD = [{"key": "hold", "type": "wait", "delay": "30d"}]
LEADS = {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}


def draft(team: Team, *triggers: dict[str, Any], **more: Any) -> Pipeline:
    made: Pipeline = import_document(team=team, document=document(HOLD, triggers=list(triggers), **more))
    return made


def people(team: Team, **stages: int) -> list[int]:
    rows = [
        Contact(team=team, first_name=f"{stage}{n}", lifecycle_stage=stage)
        for stage, count in stages.items()
        for n in range(count)
    ]
    return [row.pk for row in Contact.objects.bulk_create(rows)]


def new(**more: Any) -> dict[str, Any]:
    return {"key": "new", "type": "created", "model": "contacts.contact", **more}


def inside(pipeline: Pipeline) -> set[int | None]:
    return set(PipelineRun.objects.filter(pipeline=pipeline).values_list("subject_id", flat=True))


def test_nobody_enters_unless_asked_to_and_nobody_twice(team: Team, run_at: Run) -> None:
    ids = people(team, lead=3, customer=2)
    Contact.objects.create(team=Team.objects.create(name="Other", slug="other"), first_name="lead")
    pipeline = draft(team, new(where=LEADS, reentry="always"))
    (found,) = preview_existing(pipeline=pipeline)
    assert (found.total, [record["id"] for record in found.first]) == (3, ids[2::-1])
    activate(pipeline=pipeline)
    run_at(NOON)
    assert inside(pipeline) == set()
    late = Contact.objects.create(team=team, first_name="late")
    for _ in range(2):
        enroll_existing(pipeline=pipeline)
        run_at(later(minutes=1))
    assert inside(pipeline) == {*ids[:3], late.pk} and PipelineRun.objects.count() == 4
    assert [row.entered for row in Firing.objects.order_by("pk")] == [3, 0]


def test_members_of_a_segment_and_records_that_must_be_evaluated(team: Team, run_at: Run) -> None:
    ids = people(team, lead=3)
    vip = Segment.objects.create(team=team, key="vip", name="VIP")
    add_members(segment=vip, model=Contact, ids=ids[:2])
    named = {"field": "contact.name", "operator": "not_equals", "value": "lead0"}
    pipeline = draft(
        team, {"key": "vip", "type": "segment", "segment": "vip", "where": named}, new(key="none", enabled=False)
    )
    (found,) = preview_existing(pipeline=pipeline)
    assert (found.total, found.always) == (1, False)
    activate(pipeline=pipeline, existing=True)
    run_at(NOON)
    assert inside(pipeline) == {ids[1]}


def test_pipelines_without_such_triggers_say_so(team: Team) -> None:
    pipeline = draft(team, {"type": "event", "event": "left"})
    assert preview_existing(pipeline=pipeline) == []
    with pytest.raises(Refused, match="activate it first"):
        enroll_existing(pipeline=pipeline)
    with pytest.raises(Refused, match="No trigger"):
        activate(pipeline=pipeline, existing=True)
    pipeline.refresh_from_db()
    assert pipeline.status == Pipeline.Status.DRAFT


def test_many_are_taken_in_part_by_part(team: Team, run_at: Run) -> None:
    people(team, lead=SIZE + 5)
    activate(pipeline=draft(team, new()), existing=True)
    assert run_at(NOON).enrolled == SIZE + 5
    assert Firing.objects.get().looked_at == SIZE + 5


def test_the_api_and_the_command_ask_first(team: Team, run_at: Run) -> None:
    ids = people(team, lead=2, customer=1)
    pipeline = draft(team, new(where=LEADS))
    api = Api(team)
    expected = {"trigger": "new", "count": 2, "at_least": False, "always": False, "first": ids[1::-1]}
    assert api.get(f"pipelines/{pipeline.key}/existing/").json() == [expected]
    out = StringIO()
    call_command("pipelines", "activate", pipeline.key, "--team", team.slug, "--dry-run", stdout=out)
    assert out.getvalue() == "new: 2 fit already\n"
    assert api.post(f"pipelines/{pipeline.key}/activate/", {"enroll_existing": True}).json()["status"] == "active"
    run_at(NOON)
    assert inside(pipeline) == set(ids[:2])
    with pytest.raises(CommandError, match="no pipeline"):
        call_command("pipelines", "activate", "nope", "--team", team.slug)


def test_the_page_asks_with_who_and_how_many(team: Team, run_at: Run, client: Any, admin_user: Any) -> None:
    ids = people(team, lead=7)
    pipeline = draft(team, new())
    client.force_login(admin_user)
    address = f"/admin/pipelines/pipeline/{pipeline.pk}/activate/"
    page = client.get(address, follow=True).content.decode()
    assert "Enroll the 7 who already match, too" in page and "lead6" in page and "and 2 more" in page
    client.post(address, {"choice": "existing"}, follow=True)
    run_at(NOON)
    assert inside(pipeline) == set(ids)
