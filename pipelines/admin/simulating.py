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
from crm.mailbox import POLICY, STYLED
from crm.models import Team
from pipelines.admin.buttons import page_of
from pipelines.admin.fields import JsonArea, JsonField
from pipelines.admin.problems import LinkedProblem, link
from pipelines.admin.promised import Promise, play_promises, promises_of
from pipelines.admin.promises import PromisePages
from pipelines.admin.records import NotNamedError, record_named
from pipelines.admin.simulated import audience_shown, report_shown
from pipelines.admin.story_fields import answers_wanted, story_editor
from pipelines.documents import document_of
from pipelines.engine.clock import engine_now
from pipelines.models import Pipeline
from pipelines.operations import InvalidDocument
from pipelines.simulation.audience import audience_of, simulate_audience
from pipelines.simulation.keeping import way_of
from pipelines.simulation.scenario import BY_HAND, ScenarioError, scenario_of
from pipelines.simulation.simulate import simulate
from pipelines.simulation.stage import our_sample
from pipelines.simulation.world import subject_kind

WHO: Final = (("sample", "A sample"), ("record", "A record"), ("audience", "An audience"), ("expect", "Promises"))
# In the order in which they build on each other.
SCRIPTS: Final = [
    f"pipelines/{name}.js" for name in ("dom", "conditions", "lists", "parameters", "rules", "whole", "simulating")
]
KEPT_SECONDS: Final = 900


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
        label="Only those who meet", widget=JsonArea({"rows": 3, "data-condition": "true"}),
        help_text="Nothing here: all of them.",
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


class SimulateButton(PromisePages):
    """A button on the page of a pipeline, and the page behind it."""

    @action(description="Simulate", icon="science", permissions=["simulate"], url_path="simulate")
    def simulate_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pipeline: Pipeline | None = self.get_object(request, object_id)
        if pipeline is None:
            raise Http404
        return self.simulation_page(request, pipeline)

    def simulation_page(self, request: HttpRequest, pipeline: Pipeline, *, refused: str = "") -> HttpResponse:
        """The page with what was sent to it played; `refused` says why that was not kept as a promise."""
        document, sent = document_of(pipeline), _sent(request)
        form = _form(sent if "who" in sent else None, pipeline, document)
        promises = promises_of(document)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Simulate {pipeline.name}",
            "page_address": page_of(pipeline),
            "simulate_address": reverse("admin:pipelines_pipeline_simulate_page", args=(pipeline.pk,)),
            "pipeline": pipeline,
            "form": form,
            "about": subject_kind(document) is not None,
            "editor": story_editor(pipeline, document),
            "own_scripts": SCRIPTS,
            "promises": promises,
            "may_promise": self.has_change_permission(request, pipeline),
            "refused": refused,
            "promise_name": request.POST.get("name", ""),
            **(_outcome(request, pipeline, document, form, promises) if form.is_bound and form.is_valid() else {}),
        }
        return TemplateResponse(request, "admin/pipelines/simulate.html", context)

    def story_of(self, request: HttpRequest, pipeline: Pipeline, document: dict[str, Any]) -> dict[str, Any]:
        """The story that was posted, with its subject; raises ScenarioError where it cannot be read."""
        form = _form(request.POST, pipeline, document)
        if not form.is_valid() or form.cleaned_data["who"] not in ("sample", "record"):
            raise ScenarioError("story", "play a sample or a record first, and keep what you see")
        story, several = _story(pipeline, document, form)
        if several:
            raise ScenarioError("record", "several records are meant: choose one and play it first")
        return story


def _sent(request: HttpRequest) -> Any:
    """A story is read from the address; one that is to be kept is posted."""
    return request.POST if request.method == "POST" else request.GET


def _form(data: Any, pipeline: Pipeline, document: dict[str, Any]) -> StoryForm:
    triggers = [(row.key, str(row)) for row in pipeline.triggers.order_by("position", "id") if row.key]
    return StoryForm(data, document=document, triggers=triggers, team=pipeline.team)


def _outcome(
    request: HttpRequest, pipeline: Pipeline, document: dict[str, Any], form: StoryForm, promises: list[Promise]
) -> dict[str, Any]:
    try:
        return _played(request, pipeline, document, form, promises)
    except InvalidDocument as error:
        return {"problems": link(error.problems, document)}
    except ScenarioError as error:
        return {"problems": [LinkedProblem(error.path or "story", error.path, error.message, is_error=True)]}


def _played(
    request: HttpRequest, pipeline: Pipeline, document: dict[str, Any], form: StoryForm, promises: list[Promise]
) -> dict[str, Any]:
    who, team = form.cleaned_data["who"], pipeline.team
    if who == "expect":
        only = request.GET.get("only", "")
        found = play_promises(pipeline=pipeline, document=document, promises=promises, only=only)
        return {"promises": found, "played": any(each.is_played for each in found)}
    if who == "audience":
        scenario = scenario_of(form.story(), now=engine_now())
        asked = {"limit": form.cleaned_data["limit"] or 200, "where": form.cleaned_data["where"]}
        report = simulate_audience(team=team, document=document, audience=audience_of(asked), scenario=scenario)
        return {"crowd": audience_shown(report)}
    story, several = _story(pipeline, document, form)
    if several:
        return {"several": [(f"{row} {getattr(row, 'email', '')}", _address(request, row.pk)) for row in several]}
    report = simulate(team=team, document=document, scenario=scenario_of(story, now=engine_now()))
    for message in report["messages"]:
        message["frame"] = keep_html(request, message["html"]) if message["html"] else ""
    return {
        "report": report_shown(report, document),
        "about_whom": _words(report),
        "keeping": _keeping(request, story, report),
        "way": way_of(report),
    }


def _story(pipeline: Pipeline, document: dict[str, Any], form: StoryForm) -> tuple[dict[str, Any], list[Any]]:
    """The story with its subject, and the records among which one must choose before it can be played."""
    story = form.story()
    if form.cleaned_data["who"] == "record":
        found, several = _record(pipeline, document, form.cleaned_data["record"])
        return {**story, "subject": found}, several
    if form.cleaned_data["sample"] is not None and subject_kind(document) is not None:
        story["subject"] = form.cleaned_data["sample"]
    return story, []


def _keeping(request: HttpRequest, story: Mapping[str, Any], report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The fields of the story as they are posted to be kept: with the record that was found, and its start."""
    given = {name: value for name, value in _sent(request).items() if name in StoryForm.base_fields}
    given["start"] = report["started_at"].isoformat()
    if isinstance(story.get("subject"), int):
        given["record"] = str(story["subject"])
    return list(given.items())


def _record(pipeline: Pipeline, document: dict[str, Any], text: str) -> tuple[int | None, list[Contact]]:
    try:
        return record_named(pipeline, subject_kind(document), text)
    except NotNamedError as error:
        raise ScenarioError("record", str(error)) from None


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
