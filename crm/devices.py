"""Browsers and apps that get push messages: registered, found for a message, forgotten when they are gone."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from crm.channels.calls import BadRequest, parse_url
from crm.channels.letters import Target, device_token
from crm.channels.tokens import unpacked
from crm.models import Device, Message, OptIn
from crm.sealing import SealBroken, seal, unseal
from crm.signals import devices_changed

MOST_FOR_ONE: Final = 20


class BadDevice(ValueError):
    """What was registered is no device; the sentence says what is wrong."""


def browser_token(endpoint: str) -> str:
    """How steps name a browser: short, and the same whenever it registers."""
    return "wp_" + hashlib.sha256(endpoint.encode()).hexdigest()[:40]


def read_subscription(given: Any) -> dict[str, str]:
    """What `pushManager.subscribe` answered; raises BadDevice."""
    keys = given.get("keys") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or not isinstance(keys, Mapping):
        raise BadDevice("Give the subscription as the browser did: endpoint and keys.")
    found = {"endpoint": str(given.get("endpoint") or "")}
    found |= {name: str(keys.get(name) or "") for name in ("p256dh", "auth")}
    try:
        parse_url(found["endpoint"])
        fits = len(unpacked(found["p256dh"])) == 65 and len(unpacked(found["auth"])) == 16
    except BadRequest as error:
        raise BadDevice(f"The endpoint cannot be used: {error}") from None
    except ValueError:
        fits = False
    if not fits:
        raise BadDevice("The keys of the subscription cannot be read.")
    return found


def register_device(
    *,
    team_id: int,
    about_type_id: int,
    about_id: int,
    now: datetime,
    subscription: Mapping[str, Any] | None = None,
    token: str = "",
) -> Device:
    """Keep a browser by its subscription or an app by its token; again changes whose it is. Raises BadDevice."""
    kind, sealed = Device.Kind.FCM, ""
    if subscription is not None:
        read = read_subscription(subscription)
        kind, token, sealed = Device.Kind.WEB_PUSH, browser_token(read["endpoint"]), seal(json.dumps(read))
    if not device_token(token):
        raise BadDevice("Give a subscription, or the token of an app.")
    with transaction.atomic():
        device, _ = Device.objects.update_or_create(
            team_id=team_id,
            token=token.strip(),
            defaults={
                "kind": kind, "subscription": sealed, "about_type_id": about_type_id, "about_id": about_id,
                "seen_at": now,
            },
            create_defaults={
                "kind": kind, "subscription": sealed, "about_type_id": about_type_id, "about_id": about_id,
                "seen_at": now, "created_at": now,
            },
        )  # fmt: skip
        devices_changed.send(sender=Device, owners={(team_id, about_type_id, about_id)}, lost=frozenset())
    return device


@dataclass(frozen=True, slots=True)
class Lost:
    """A device that is gone, and whom a message to it was about: it may have been written down without registering."""

    team_id: int
    token: str
    about_type_id: int | None = None
    about_id: int | None = None


def forget(lost: Sequence[Lost]) -> int:
    """Remove devices that are gone for good; how many were registered."""
    if not lost:
        return 0
    owners = {
        (each.team_id, each.about_type_id, each.about_id)
        for each in lost
        if each.about_type_id is not None and each.about_id is not None
    }
    with transaction.atomic():
        rows = list(Device.objects.filter(_any_of(lost)).order_by("pk").select_for_update())
        Device.objects.filter(pk__in=[row.pk for row in rows]).delete()
        owners |= {(row.team_id, row.about_type_id, row.about_id) for row in rows}
        devices_changed.send(sender=Device, owners=owners, lost={each.token for each in lost})
    return len(rows)


def _any_of(lost: Sequence[Lost]) -> Q:
    wanted = Q()
    for team_id in sorted({each.team_id for each in lost}):
        wanted |= Q(team_id=team_id, token__in=[each.token for each in lost if each.team_id == team_id])
    return wanted


def targets_of(messages: Sequence[Message]) -> dict[int, tuple[Target, ...]]:
    """Where push messages go, by the id of the message: every device of whoever one of their tokens belongs to.

    Three statements. A token that nobody registered is taken for that of an app. Devices on which push messages were
    withdrawn get none that one could unsubscribe from.
    """
    tokens = {message.pk: (message.recipient, *message.headers.get("also", ())) for message in messages}
    teams = {message.team_id for message in messages}
    named = Device.objects.filter(team_id__in=teams, token__in={each for some in tokens.values() for each in some})
    known = {(row.team_id, row.token): row for row in named}
    owners = {(row.team_id, row.about_type_id, row.about_id) for row in known.values()}
    theirs = Device.objects.filter(team_id__in=teams, about_id__in={about_id for *_, about_id in owners})
    by_owner: dict[tuple[int, int, int], list[Device]] = {}
    for row in theirs.order_by("-seen_at", "pk") if owners else ():
        by_owner.setdefault((row.team_id, row.about_type_id, row.about_id), []).append(row)
    withdrawn = _withdrawn({(row.team_id, row.token) for rows in by_owner.values() for row in rows})
    found: dict[int, tuple[Target, ...]] = {}
    for message in messages:
        each: dict[str, Target] = {}
        for token in tokens[message.pk]:
            owner = known.get((message.team_id, token))
            if owner is None:
                each.setdefault(token, Target("fcm", token))
                continue
            for device in by_owner[owner.team_id, owner.about_type_id, owner.about_id]:
                if not message.topic or (device.team_id, device.token) not in withdrawn:
                    each.setdefault(device.token, _target(device))
        found[message.pk] = tuple(each.values())[:MOST_FOR_ONE]
    return found


def _withdrawn(devices: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Those of several (team, token) whose last word was no."""
    if len(devices) < 2:
        return set()
    said = OptIn.objects.filter(
        team_id__in={team_id for team_id, _ in devices}, channel=OptIn.Channel.PUSH,
        address__in={token for _, token in devices},
    ).order_by("pk")  # fmt: skip
    last = {(team_id, token): granted for team_id, token, granted in said.values_list("team_id", "address", "granted")}
    return {device for device, granted in last.items() if not granted}


def _target(device: Device) -> Target:
    if device.kind != Device.Kind.WEB_PUSH:
        return Target(device.kind, device.token)
    try:
        return Target(device.kind, device.token, json.loads(unseal(device.subscription)))
    except (SealBroken, ValueError):
        return Target(device.kind, device.token)
