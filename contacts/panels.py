"""Panels that higher apps add to the page of a contact.

    panels.register(runs_panel)

where `runs_panel(request, contact)` answers a `Panel`, or None to stay away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from contacts.hooks import Registry
from contacts.models import Contact


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A titled section drawn from a template, so that its values are escaped."""

    title: str
    template: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def render(self, request: HttpRequest) -> SafeString:
        return render_to_string(self.template, dict(self.context), request=request)


class PanelMaker(Protocol):
    """Builds the panel of one contact for one viewer."""

    def __call__(self, request: HttpRequest, contact: Contact, /) -> Panel | None: ...


makers: Registry[PanelMaker] = Registry()
register = makers.register


def panels_for(*, request: HttpRequest, contact: Contact) -> list[Panel]:
    """Every registered panel that has something to show."""
    made = (maker(request, contact) for maker in makers)
    return [panel for panel in made if panel is not None]
