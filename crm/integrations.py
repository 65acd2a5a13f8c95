"""Providers of a team: their settings kept, their secrets sealed, and the channels that come of them."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from crm.channels.base import DeliveryResult, Refused
from crm.channels.letters import Channel, Letter, channel_for
from crm.channels.providers import PROVIDERS, Provider, with_made_up
from crm.channels.push import Push
from crm.channels.web_push import public_key
from crm.models import Integration, Team
from crm.sealing import SealBroken, seal, unseal

DOTS: Final = "••••"
HERE: Final = ("localhost", "127.0.0.1", "::1")
# What an app above knows of the providers of a team that let nobody in: a sentence by channel.
Troubles = Callable[[Team], Mapping[str, str]]
_known_troubles: list[Troubles] = []


def register_troubles(troubles: Troubles) -> None:
    """Let the pages of channels say what an app above knows of them; called once when the apps are ready."""
    _known_troubles.append(troubles)


def troubles_of(team: Team) -> dict[str, str]:
    """What keeps messages of a team from leaving, as a sentence by channel."""
    return {channel: said for troubles in _known_troubles for channel, said in troubles(team).items()}


class WrongSettings(ValueError):
    """Settings that a provider cannot work with; `problems` has a sentence by the name of the setting."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class _Broken:
    """A channel whose secrets cannot be opened."""

    why: str

    def deliver(self, letter: Letter) -> DeliveryResult:
        return Refused(code="validation", detail=self.why, permanent=True)


def provider_of(integration: Integration) -> Provider | None:
    """None for a provider that this version does not know."""
    return PROVIDERS.get(integration.provider)


def secrets_of(integration: Integration) -> dict[str, str]:
    """The secrets in the clear; raises SealBroken."""
    if not integration.secrets:
        return {}
    found: dict[str, str] = json.loads(unseal(integration.secrets))
    return found


def masked(integration: Integration) -> dict[str, str]:
    """Secrets as they may be shown: the last characters of long ones, so that they can be told apart."""
    try:
        found = secrets_of(integration)
    except SealBroken:
        return {}
    return {name: f"{DOTS}{value[-4:]}" if len(value) >= 16 else DOTS for name, value in found.items() if value}


def keep_settings(integration: Integration, given: Mapping[str, str]) -> None:
    """Put settings and secrets into the row, unsaved. A secret that is not given, or empty, stays as it was.

    Raises WrongSettings.
    """
    provider = provider_of(integration)
    if provider is None:
        raise WrongSettings({"provider": "There is no such provider."})
    unknown = sorted(set(given) - {each.name for each in provider.settings})
    if unknown:
        raise WrongSettings(dict.fromkeys(unknown, "This provider has no such setting."))
    try:
        known = secrets_of(integration)
    except SealBroken:
        known = {}
    values: dict[str, str] = {}
    for each in provider.settings:
        text = str(given.get(each.name, "" if each.secret else (integration.options or {}).get(each.name, ""))).strip()
        values[each.name] = text or (known.get(each.name, "") if each.secret else each.default)
    values = with_made_up(provider, values)
    problems = provider.problems(values)
    if problems:
        raise WrongSettings(problems)
    hidden = {each.name: values[each.name] for each in provider.settings if each.secret}
    integration.options = {each.name: values[each.name] for each in provider.settings if not each.secret}
    integration.secrets = seal(json.dumps(hidden))


def reports_url(integration: Integration) -> str:
    """Where the provider posts what became of messages, and replies; empty for one that does not."""
    provider = provider_of(integration)
    if provider is None or not provider.reports:
        return ""
    return f"{settings.BASE_URL}{reverse('channel-reports', args=[integration.token])}"


def browser_key(integration: Integration) -> str:
    """The public key that pages subscribe browsers with; empty for other providers."""
    if integration.provider != Integration.Provider.WEB_PUSH:
        return ""
    try:
        return public_key(secrets_of(integration).get("private_key", ""))
    except (SealBroken, ValueError):
        return ""


def made(integration: Integration) -> Any:
    """The channel of a provider, or its transport for push; raises SealBroken and KeyError."""
    provider = PROVIDERS[integration.provider]
    url = reports_url(integration)
    # Nobody outside can report to this machine alone.
    callback = "" if urlsplit(url).hostname in HERE else url
    values = {**{each.name: "" for each in provider.settings}, **integration.options, **secrets_of(integration)}
    return provider.make(values, callback)


def channel_made_of(rows: Collection[Integration]) -> Channel | None:
    """One channel of all providers of one kind that a team has; None when it has none."""
    try:
        parts = {row.provider: made(row) for row in rows if row.provider in PROVIDERS}
    except SealBroken as error:
        return _Broken(str(error))
    if not parts:
        return None
    if all(PROVIDERS[name].channel == "push" for name in parts):
        return Push(parts)
    first: Channel = next(iter(parts.values()))
    return first


def enabled_for(channel: str, team_ids: Collection[int]) -> dict[int, list[Integration]]:
    """Providers that carry a channel, by team; one statement."""
    codes = [code for code, provider in PROVIDERS.items() if provider.channel == channel]
    rows = Integration.objects.filter(team_id__in=set(team_ids), provider__in=codes, enabled=True).order_by("pk")
    found: dict[int, list[Integration]] = {}
    for row in rows:
        found.setdefault(row.team_id, []).append(row)
    return found


def enabled_by_channel(team_id: int) -> dict[str, list[Integration]]:
    """Providers of one team by what they carry; one statement."""
    found: dict[str, list[Integration]] = {}
    for row in Integration.objects.filter(team_id=team_id, provider__in=PROVIDERS, enabled=True).order_by("pk"):
        found.setdefault(PROVIDERS[row.provider].channel, []).append(row)
    return found


def channels_of(channel: str, team_ids: Collection[int]) -> dict[int, Channel | None]:
    """How each of these teams sends over a channel: its own providers, else what the settings name."""
    rows = enabled_for(channel, team_ids)
    return {
        team_id: channel_made_of(rows[team_id]) if team_id in rows else channel_for(channel) for team_id in team_ids
    }
