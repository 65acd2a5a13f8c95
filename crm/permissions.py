"""The one written permission matrix: which role may do what with which kind of record."""

from collections.abc import Mapping
from typing import Final

from crm.models.member import Role

OWNER, ADMIN, MANAGER, MEMBER, VIEWER = (
    Role.OWNER,
    Role.ADMIN,
    Role.MANAGER,
    Role.MEMBER,
    Role.VIEWER,
)

EVERYONE: Final = frozenset({OWNER, ADMIN, MANAGER, MEMBER, VIEWER})
WORKERS: Final = frozenset({OWNER, ADMIN, MANAGER, MEMBER})
LEADERS: Final = frozenset({OWNER, ADMIN, MANAGER})
ADMINS: Final = frozenset({OWNER, ADMIN})
OWNERS: Final = frozenset({OWNER})
NOBODY: Final[frozenset[Role]] = frozenset()

Verbs = Mapping[str, frozenset[Role]]


def _rows(
    *,
    view: frozenset[Role],
    write: frozenset[Role],
    delete: frozenset[Role],
    **more: frozenset[Role],
) -> Verbs:
    return {"view": view, "add": write, "change": write, "delete": delete, **more}


# Resource names are those of the API. Every registered model names its resource in RESOURCES.
MATRIX: Final[Mapping[str, Verbs]] = {
    "contacts": _rows(
        view=EVERYONE,
        write=WORKERS,
        delete=LEADERS,
        bulk=LEADERS,
        export=LEADERS,
        merge=LEADERS,
        erase=ADMINS,
        # Everything that is held of one person, messages and decisions as well.
        hand_out=ADMINS,
    ),
    # Who brings files sees what stands in them.
    "contact-imports": {"view": LEADERS, "add": LEADERS, "change": NOBODY, "delete": NOBODY, "run": LEADERS},
    "companies": _rows(view=EVERYONE, write=WORKERS, delete=LEADERS, export=LEADERS),
    "deals": _rows(view=EVERYONE, write=WORKERS, delete=LEADERS, export=LEADERS),
    "segments": _rows(view=EVERYONE, write=WORKERS, delete=LEADERS),
    "fields": _rows(view=EVERYONE, write=ADMINS, delete=ADMINS),
    "record-types": _rows(view=EVERYONE, write=ADMINS, delete=ADMINS),
    "records": _rows(view=EVERYONE, write=WORKERS, delete=LEADERS, export=LEADERS),
    "activities": _rows(view=EVERYONE, write=WORKERS, delete=LEADERS),
    "tasks": _rows(view=EVERYONE, write=WORKERS, delete=LEADERS),
    "messages": {
        "view": EVERYONE,
        "add": NOBODY,
        "change": NOBODY,
        "delete": NOBODY,
        "decide": LEADERS,
    },
    "templates": _rows(view=EVERYONE, write=LEADERS, delete=LEADERS),
    "suppressions": {"view": LEADERS, "add": LEADERS, "change": NOBODY, "delete": ADMINS},
    "topics": _rows(view=EVERYONE, write=LEADERS, delete=LEADERS),
    # Signup forms subscribe by key; who chose what is seen by those who see who is suppressed.
    "subscriptions": {"view": LEADERS, "add": WORKERS, "change": NOBODY, "delete": WORKERS},
    "consents": {"view": LEADERS, "add": NOBODY, "change": NOBODY, "delete": NOBODY, "export": LEADERS},
    # Whoever may read settings of channels sees no secrets.
    "integrations": _rows(view=LEADERS, write=ADMINS, delete=ADMINS),
    # Values are only ever written.
    "secrets": _rows(view=LEADERS, write=ADMINS, delete=ADMINS),
    "devices": {"view": EVERYONE, "add": WORKERS, "change": NOBODY, "delete": LEADERS},
    # What people said is added to, never changed.
    "opt-ins": {"view": LEADERS, "add": LEADERS, "change": NOBODY, "delete": NOBODY},
    "notifications": {"view": EVERYONE, "add": NOBODY, "change": NOBODY, "delete": NOBODY},
    "pipelines": _rows(
        view=EVERYONE,
        write=LEADERS,
        delete=ADMINS,
        publish=LEADERS,
        activate=LEADERS,
        enroll=WORKERS,
        export=LEADERS,
        simulate=WORKERS,
        # Writing code that steps run.
        code=ADMINS,
    ),
    # When and how much the team sends.
    "sending-rules": _rows(view=EVERYONE, write=ADMINS, delete=ADMINS),
    "automatic-pipelines": _rows(view=EVERYONE, write=LEADERS, delete=LEADERS),
    # An incoming webhook is a door without a login, so only those open one who give out keys.
    "hooks": _rows(view=LEADERS, write=ADMINS, delete=ADMINS, take_in=LEADERS),
    # An outgoing webhook hands what happens to another system.
    "webhooks": _rows(view=LEADERS, write=ADMINS, delete=ADMINS),
    # Telling what happened is what programs do; what may be told is for those who keep the integration.
    "events": {"view": EVERYONE, "add": WORKERS, "change": NOBODY, "delete": NOBODY},
    "event-types": _rows(view=EVERYONE, write=LEADERS, delete=LEADERS),
    "pipeline-runs": {
        "view": EVERYONE,
        "add": NOBODY,
        "change": NOBODY,
        "delete": NOBODY,
        "operate": LEADERS,
    },
    "teams": {"view": EVERYONE, "add": NOBODY, "change": ADMINS, "delete": NOBODY},
    "members": _rows(view=EVERYONE, write=ADMINS, delete=ADMINS),
    "api-keys": _rows(view=ADMINS, write=ADMINS, delete=ADMINS),
    "audit": {"view": ADMINS, "add": NOBODY, "change": NOBODY, "delete": NOBODY},
    "engine": {
        "view": EVERYONE,
        "add": NOBODY,
        "change": NOBODY,
        "delete": NOBODY,
        "tick": ADMINS,
        "logs": LEADERS,
    },
}

RESOURCES: Final[Mapping[str, str]] = {
    "contacts.contact": "contacts",
    "contacts.tag": "contacts",
    "contacts.contactimport": "contact-imports",
    "contacts.company": "companies",
    "contacts.deal": "deals",
    "contacts.activity": "activities",
    "contacts.segment": "segments",
    "contacts.segmentmembership": "segments",
    "contacts.fielddefinition": "fields",
    "contacts.recordtype": "record-types",
    "contacts.record": "records",
    "crm.task": "tasks",
    "crm.message": "messages",
    "crm.messageevent": "messages",
    "crm.messagetemplate": "templates",
    "crm.suppression": "suppressions",
    "crm.topic": "topics",
    "crm.subscription": "subscriptions",
    "crm.consententry": "consents",
    "crm.integration": "integrations",
    "crm.secret": "secrets",
    "crm.device": "devices",
    "crm.optin": "opt-ins",
    "crm.notification": "notifications",
    "crm.team": "teams",
    "crm.member": "members",
    "crm.apikey": "api-keys",
    "crm.auditentry": "audit",
    "pipelines.pipeline": "pipelines",
    "pipelines.pipelinestep": "pipelines",
    "pipelines.pipelineversion": "pipelines",
    "pipelines.trigger": "pipelines",
    "pipelines.automaticpipeline": "automatic-pipelines",
    "pipelines.hook": "hooks",
    "pipelines.sendingrules": "sending-rules",
    "pipelines.hookdelivery": "hooks",
    "pipelines.webhook": "webhooks",
    "pipelines.webhookdelivery": "webhooks",
    "pipelines.pipelinerun": "pipeline-runs",
    "pipelines.runcontext": "pipeline-runs",
    "pipelines.stepexecution": "pipeline-runs",
    "pipelines.effect": "pipeline-runs",
    "pipelines.humantask": "tasks",
    "pipelines.event": "events",
    "pipelines.eventtype": "event-types",
    "pipelines.firing": "pipelines",
    "pipelines.enrollmentdecision": "pipeline-runs",
}


def allows(*, role: str | None, resource: str, verb: str) -> bool:
    """True when the matrix grants `verb` on `resource` to `role`; unknown words grant nothing."""
    if role is None:
        return False
    return role in MATRIX.get(resource, {}).get(verb, NOBODY)
