"""A run goes on from an earlier step, itself or as a copy; what it sent is sent again only if somebody says so."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from crm.auditing import audit_request
from pipelines.admin.links import subject_words
from pipelines.engine.programs import programs
from pipelines.engine.replaying import CannotReplay, SendsAgain, goes_by, replay
from pipelines.models import PipelineRun
from pipelines.operations import Refused
from pipelines.operations.code_steps import check_replay


class ReplayForm(forms.Form):
    """From which step, by whom, and whether messages may leave a second time."""

    step = forms.ChoiceField(
        label="From", widget=UnfoldAdminSelectWidget(), help_text="It begins there at once, with what it remembers now."
    )
    mode = forms.ChoiceField(
        label="Who goes",
        initial="in_place",
        choices=[
            ("in_place", "This run; what it opened is called off"),
            ("clone", "A copy; this run stays as it is"),
        ],
        widget=UnfoldAdminRadioSelectWidget(),
    )
    confirm = forms.BooleanField(
        label="Send again",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Messages and calls of steps that come again leave once more.",
    )

    def __init__(self, *args: Any, run: PipelineRun, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        program = programs({run.version_id})[run.version_id].program
        outer = [step for step in program.steps if not step.scope]
        self.fields["step"].choices = [(step.key, step.name or step.key) for step in outer]  # type: ignore[attr-defined]
        current = next((step.key for step in outer if step.id == run.step_id), None)
        self.fields["step"].initial = current or (outer[0].key if outer else None)


class ReplayPage:
    """Needs the verb "operate", and the right to write code where code would run again."""

    admin_site: Any
    opts: Any
    get_object: Any

    @action(description="Replay…", icon="restart_alt", permissions=["operate"], url_path="replay")
    def replay_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask from where; carry it out, and lead to the run that goes."""
        run = self.get_object(request, object_id)
        if run is None or run.parent_id is not None:
            raise Http404("There is no such run, or it is a branch of one.")
        form = ReplayForm(request.POST if request.method == "POST" else None, run=run)
        found = _replayed(request, run, form) if request.method == "POST" and form.is_valid() else None
        if found is not None:
            return HttpResponseRedirect(reverse("admin:pipelines_pipelinerun_change", args=(found.pk,)))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Replay this run",
            "target": f"{subject_words(run)} in {run.pipeline}",
            "form": form,
            "back": reverse("admin:pipelines_pipelinerun_change", args=(run.pk,)),
        }
        return TemplateResponse(request, "admin/pipelines/replay.html", context)


def _replayed(request: HttpRequest, run: PipelineRun, form: ReplayForm) -> PipelineRun | None:
    wanted = form.cleaned_data
    try:
        check_replay(team=run.pipeline.team, by=request.user, document=goes_by(run).document)
        found = replay(run=run, **wanted, by=request.user)
    except SendsAgain as error:
        form.add_error("confirm", str(error))
        return None
    except (CannotReplay, Refused) as error:
        form.add_error(None, str(error))
        return None
    details = {"step": wanted["step"], "mode": wanted["mode"], "run": found.pk}
    audit_request(request=request, action="pipeline-runs.replayed", target=run, team=run.pipeline.team, **details)
    who = "The run" if found.pk == run.pk else "A copy of the run"
    messages.success(request, f"{who} goes on from ‘{dict(form.fields['step'].choices)[wanted['step']]}’.")  # type: ignore[attr-defined]
    return found
