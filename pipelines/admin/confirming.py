"""A question before something happens: shown on GET, carried out on POST."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from pipelines.operations import InvalidDocument, Refused


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the ways to go ahead."""

    value: str
    label: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something happens."""

    title: str
    sentences: Sequence[str]
    button: str
    danger: bool = False
    choices: Sequence[Choice] = ()


class Confirming:
    """Shows a question on GET and performs on POST; refusals become messages."""

    admin_site: Any
    opts: Any

    def ask(
        self, request: HttpRequest, *, target: Any, question: Question, perform: Callable[[str], str], back: str
    ) -> HttpResponse:
        """`perform` gets the chosen value and answers the sentence that reports success."""
        allowed = {choice.value for choice in question.choices}
        chosen = request.POST.get("choice", "")
        if request.method != "POST" or (allowed and chosen not in allowed):
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": question.title,
                "question": question,
                "target": target,
                "back": back,
            }
            return TemplateResponse(request, "admin/pipelines/confirm.html", context)
        try:
            messages.success(request, perform(chosen))
        except InvalidDocument as error:
            messages.error(request, f"Not done: {error} — see the list on this page.")
        except Refused as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(back)
