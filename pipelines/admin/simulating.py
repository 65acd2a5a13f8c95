"""The page that tries a pipeline out: for one record, for a sample, or for an audience; nothing is sent."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import nh3
from django import forms
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from contacts.models import Contact
from contacts.queries import search
from crm.mailbox import POLICY, STYLED
from crm.models import Team
from pipelines.admin.buttons import page_of
from pipelines.admin.fields import JsonArea, JsonField
from pipelines.admin.problems import LinkedProblem, link
from pipelines.admin.simulated import audience_shown, expectations_shown, report_shown
from pipelines.definition.layout import every_place
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline
from pipelines.operations import InvalidDocument
from pipelines.simulation.audience import audience_of, simulate_audience
from pipelines.simulation.expect import play_expectations
from pipelines.simulation.scenario import BY_HAND, ScenarioError, scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.stage import our_sample
from pipelines.simulation.world import subject_kind

WHO: Final = (("sample", "A sample"), ("record", "A record"), ("audience", "An audience"), ("expect", "Expectations"))
KEPT_SECONDS: Final = 900
FOUND: Final = 8


class StoryForm(forms.Form):
    """Who goes through, from when on, and what happens on the way."""

    who = forms.ChoiceField(choices=WHO, initial="sample", widget=forms.RadioSelect())
    record = forms.CharField(
        required=False, label="Record", widget=UnfoldAdminTextInputWidget({"placeholder": "Name, email or number"})
    )
    sample = JsonField(expect=dict, label="Sample values", widget=JsonArea({"rows": 5}))
    limit = forms.IntegerField(
        required=False, label="How many", min_value=1, max_value=1000, initial=200, widget=UnfoldAdminTextInputWidget(),
        help_text="The newest ones, up to 1,000.",
    )  # fmt: skip
    where = JsonField(
        label="Only those who meet", widget=JsonArea({"rows": 3}),
        help_text='A condition, such as {"field": "contact.lifecycle_stage", "operator": "equals", "value": "lead"}.',
    )  # fmt: skip
    entry = forms.ChoiceField(required=False, label="Enters by", widget=UnfoldAdminSelectWidget())
    start = forms.CharField(
        required=False, label="Begins", widget=UnfoldAdminTextInputWidget({"placeholder": "now, or 2027-03-01T09:00"})
    )
    until = forms.CharField(
        required=False, label="Ends", widget=UnfoldAdminTextInputWidget({"placeholder": "after a year, or 90d"})
    )
    trigger = JsonField(expect=dict, label="What the trigger brings", widget=JsonArea({"rows": 3}))
    variables = JsonField(expect=dict, label="Variables", widget=JsonArea({"rows": 3}))
    events = JsonField(
        expect=list, label="Events", widget=JsonArea({"rows": 3}),
        help_text='Such as [{"after": "2d", "type": "order.paid", "payload": {}}].',
    )  # fmt: skip
    responses = JsonField(
        expect=dict, label="Answers of people", widget=JsonArea({"rows": 4}),
        help_text='By step: {"review": [{"after": "1d", "outcome": "yes", "values": {}}]}.',
    )  # fmt: skip
    stubs = JsonField(
        expect=dict, label="Answers of other systems", widget=JsonArea({"rows": 3}),
        help_text='By step, attempt by attempt: {"ask": ["http_5xx", {"status": 200, "body": {}}]}.',
    )  # fmt: skip

    def __init__(
        self, *args: Any, document: Mapping[str, Any], triggers: list[tuple[str, str]], team: Team, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["entry"].choices = [("", "The first trigger that fits"), *triggers, (BY_HAND, "By hand")]  # type: ignore[attr-defined]
        kind = subject_kind(document)
        self.fields["sample"].initial = our_sample(kind, team) if kind is not None else None
        self.fields["responses"].initial = answers_wanted(document) or None

    def story(self) -> dict[str, Any]:
        """The scenario as the API would get it, without its subject."""
        given = self.cleaned_data
        names = ("entry", "start", "until", "trigger", "variables", "events", "responses", "stubs")
        return {name: given[name] for name in names if given.get(name)}


def answers_wanted(document: Mapping[str, Any]) -> dict[str, Any]:
    """A first answer for every step that asks a person, to be changed."""
    found = {}
    for place in every_place(document):
        if place.step.get("type") != "human_task":
            continue
        given = place.step.get("with") or {}
        outcomes = given.get("outcomes") or []
        answer: dict[str, Any] = {"after": "1d"}
        if outcomes:
            answer["outcome"] = outcomes[0]
        answer["values"] = {each.get("name", ""): _example(each) for each in given.get("form") or []}
        found[place.key] = [answer]
    return found


def _example(field: Mapping[str, Any]) -> Any:
    options = [each.get("value") if isinstance(each, Mapping) else each for each in field.get("options") or []]
    examples: dict[str, Any] = {
        "number": field.get("min", 1), "boolean": True, "date": "2027-03-01", "datetime": "2027-03-01T10:00",
        "select": options[0] if options else "", "multiselect": options[:1], "email": "sam@example.com",
        "url": "https://example.com/",
    }  # fmt: skip
    return examples.get(str(field.get("type")), "Text")


class SimulateButton:
    """A button on the page of a pipeline, and the page behind it."""

    admin_site: Any
    opts: Any
    get_object: Any

    @action(description="Simulate", icon="science", permissions=["simulate"], url_path="simulate")
    def simulate_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline: Pipeline | None = self.get_object(request, object_id)
        if pipeline is None:
            raise Http404
        document = document_of(pipeline)
        triggers = [(row.key, str(row)) for row in pipeline.triggers.order_by("position", "id") if row.key]
        form = StoryForm(
            request.GET if "who" in request.GET else None, document=document, triggers=triggers, team=pipeline.team
        )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Simulate {pipeline.name}",
            "page_address": page_of(pipeline),
            "pipeline": pipeline,
            "form": form,
            "about": subject_kind(document) is not None,
            "promises": len((document.get("meta") or {}).get("expect") or []),
            **(_outcome(request, pipeline, document, form) if form.is_bound and form.is_valid() else {}),
        }
        return TemplateResponse(request, "admin/pipelines/simulate.html", context)


def _outcome(request: HttpRequest, pipeline: Pipeline, document: dict[str, Any], form: StoryForm) -> dict[str, Any]:
    try:
        return _played(request, pipeline, document, form)
    except InvalidDocument as error:
        return {"problems": link(error.problems, document)}
    except ScenarioError as error:
        return {"problems": [LinkedProblem(error.path or "story", error.path, error.message, is_error=True)]}


def _played(request: HttpRequest, pipeline: Pipeline, document: dict[str, Any], form: StoryForm) -> dict[str, Any]:
    who, story, team = form.cleaned_data["who"], form.story(), pipeline.team
    if who == "expect":
        return {"stories": expectations_shown(play_expectations(team=team, document=document))}
    if who == "audience":
        scenario = scenario_of(story, now=engine_now())
        asked = {"limit": form.cleaned_data["limit"] or 200, "where": form.cleaned_data["where"]}
        report = simulate_audience(team=team, document=document, audience=audience_of(asked), scenario=scenario)
        return {"crowd": audience_shown(report)}
    if who == "record":
        found, several = _record(pipeline, document, form.cleaned_data["record"])
        if several:
            return {"several": [(f"{row} {getattr(row, 'email', '')}", _address(request, row.pk)) for row in several]}
        story["subject"] = found
    elif form.cleaned_data["sample"] is not None and subject_kind(document) is not None:
        story["subject"] = form.cleaned_data["sample"]
    report = simulate(team=team, document=document, scenario=scenario_of(story, now=engine_now()))
    for message in report["messages"]:
        message["frame"] = keep_html(request, message["html"]) if message["html"] else ""
    return {"report": report_shown(report, document), "about_whom": _words(report)}


def _record(pipeline: Pipeline, document: dict[str, Any], text: str) -> tuple[int | None, list[Any]]:
    """The record that is meant, or those among which one must choose."""
    kind = subject_kind(document)
    text = text.strip()
    if kind is None:
        return None, []
    if text.isascii() and text.isdigit() and len(text) < 18:
        return int(text), []
    if kind.model is not Contact or not text:
        raise ScenarioError("record", f"give the number of a {kind.name}")
    rows = search(contacts=Contact.objects.for_team(pipeline.team), text=text, team=pipeline.team)
    found = list(rows.order_by("-pk")[:FOUND])
    if not found:
        raise ScenarioError("record", f"nobody is found by “{text[:60]}”")
    return (found[0].pk, []) if len(found) == 1 else (None, found)


def _address(request: HttpRequest, pk: int) -> str:
    query = request.GET.copy()
    query["record"] = str(pk)
    return f"?{query.urlencode()}"


def _words(report: Mapping[str, Any]) -> str:
    subject = report.get("subject") or {}
    return str(subject.get("name") or subject.get("email") or "")


def keep_html(request: HttpRequest, html: str) -> str:
    """Where whoever simulated a message can see its HTML for a quarter of an hour."""
    token = uuid.uuid4().hex
    cache.set(_place(request, token), html, KEPT_SECONDS)
    return reverse("simulated-html", args=[token])


def _place(request: HttpRequest, token: str) -> str:
    return f"simulated-html:{request.user.pk}:{token}"


def simulated_html(request: HttpRequest, token: str) -> HttpResponse:
    """The HTML of one simulated message, without anything that could act or fetch."""
    html = cache.get(_place(request, token))
    if html is None:
        raise Http404
    attributes = {**nh3.ALLOWED_ATTRIBUTES, "*": STYLED}
    answer = HttpResponse(nh3.clean(html, attributes=attributes, url_schemes={"https", "http", "data"}))
    answer["Content-Security-Policy"] = POLICY
    answer["X-Frame-Options"] = "SAMEORIGIN"
    return answer
