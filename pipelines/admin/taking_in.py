"""The button that takes a failed post of an incoming webhook in again, after a question."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from crm.auditing import audit_request
from pipelines.admin.confirming import Confirming, Question
from pipelines.models import HookDelivery
from pipelines.triggers.hooks import take_in_again


class TakingIn(Confirming):
    """Needs the verb "take_in"; who only sees what was posted has no button."""

    get_object: Any
    has_take_in_permission: Any

    def get_urls(self) -> list[URLPattern]:
        """The question before the pages of the model itself."""
        view = self.admin_site.admin_view(self.take_in_view)
        inherited: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/take-in/<int:delivery>/", view, name="pipelines_hook_take_in"), *inherited]

    def take_in_view(self, request: HttpRequest, pk: int, delivery: int) -> HttpResponse:
        """What would happen, and the button that lets it."""
        hook = self.get_object(request, str(pk))
        found = HookDelivery.objects.filter(hook=hook, pk=delivery, state=HookDelivery.State.FAILED).first()
        if hook is None or found is None or not self.has_take_in_permission(request, hook):
            raise Http404("There is no such failed post, or you may not take it in.")
        question = Question(
            "Take this post in again?",
            [
                f"It failed: {found.outcome}",
                "It is read once more as it was stored, by the webhook and the pipeline as they are now. "
                "Who is in the pipeline through it already does not enter again.",
            ],
            "Take it in again",
        )

        def perform(_: str) -> str:
            if take_in_again(delivery=found):
                audit_request(
                    request=request, action="hooks.taken_in_again", target=hook, team=hook.team, delivery=found.pk
                )
            return "It is taken in by the next pass."

        back = reverse("admin:pipelines_hook_change", args=[hook.pk])
        return self.ask(request, target=hook, question=question, perform=perform, back=back)
