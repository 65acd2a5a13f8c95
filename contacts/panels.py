"""Panels that higher apps add to the page of a contact, company or deal.

    panels.register(runs_panel)

where `runs_panel(request, record)` answers a `Panel`, or None to stay away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db.models import Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from contacts.hooks import Registry


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A titled section drawn from a template, so that its values are escaped."""

    title: str
    template: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def render(self, request: HttpRequest) -> SafeString:
        return render_to_string(self.template, dict(self.context), request=request)


class PanelMaker(Protocol):
    """Builds the panel of one record for one viewer."""

    def __call__(self, request: HttpRequest, record: Model, /) -> Panel | None: ...


makers: Registry[PanelMaker] = Registry()
register = makers.register


def panels_for(*, request: HttpRequest, record: Model) -> list[Panel]:
    """Every registered panel that has something to show."""
    made = (maker(request, record) for maker in makers)
    return [panel for panel in made if panel is not None]
