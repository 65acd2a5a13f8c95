"""Every action type, in a tuple one can read; projects add theirs by `PIPELINES_ACTIONS`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from pipelines.actions.base import Kind
from pipelines.actions.blocks import Call, LoopBody, ParallelBranches
from pipelines.actions.branching import Split, Switch
from pipelines.actions.code import RunCode
from pipelines.actions.finding import FindRecords
from pipelines.actions.flow import Condition, End, SetVariable, Wait
from pipelines.actions.groups import AddToSegment, CreateSegment, EnrollIn, RemoveFromSegment, UnenrollFrom
from pipelines.actions.letters import SendChat, SendPush, SendSms, SendWhatsapp
from pipelines.actions.messaging import SendEmail
from pipelines.actions.notify import Notify
from pipelines.actions.people import AskPerson
from pipelines.actions.records import CreateRecord, UpdateRecord
from pipelines.actions.tasks import CreateTask
from pipelines.actions.waiting import WaitForEvents
from pipelines.actions.webhook import CallApi

BUILT_IN: tuple[type[Kind], ...] = (
    SendEmail,
    SendSms,
    SendPush,
    SendWhatsapp,
    CreateTask,
    AskPerson,
    Wait,
    Condition,
    Switch,
    Split,
    FindRecords,
    CreateRecord,
    UpdateRecord,
    AddToSegment,
    RemoveFromSegment,
    CreateSegment,
    EnrollIn,
    UnenrollFrom,
    SetVariable,
    Notify,
    SendChat,
    CallApi,
    RunCode,
    WaitForEvents,
    ParallelBranches,
    LoopBody,
    Call,
    End,
)


@cache
def kinds() -> Mapping[str, Kind]:
    """All action types by code; a code given twice is a configuration error."""
    found: dict[str, Kind] = {}
    for kind_class in (*BUILT_IN, *_custom()):
        kind = kind_class()
        if not kind.code or kind.code in found:
            raise ImproperlyConfigured(f"Two actions use the code {kind.code!r}, or it is empty: {kind_class!r}.")
        found[kind.code] = kind
    return found


def step_title(step: Any) -> str:
    """A step by its name, or by what it does; its key says little to people."""
    kind = kinds().get(step.action_type)
    return str(step.name or (kind.label if kind else step.action_type))


def title_of(step: Mapping[str, Any]) -> str:
    """The same for a step of a document."""
    kind = kinds().get(str(step.get("type")))
    return str(step.get("name") or (kind.label if kind else step.get("type")))


def _custom() -> list[type[Kind]]:
    classes: list[type[Kind]] = []
    for dotted in settings.PIPELINES_ACTIONS:
        kind_class = import_string(dotted)
        if not kind_class.code.startswith("custom."):
            raise ImproperlyConfigured(f"{dotted}: the code of a custom action begins with 'custom.'.")
        classes.append(kind_class)
    return classes
