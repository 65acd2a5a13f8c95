"""Secrets of a team: sealed at rest, marks in stored requests, in the clear only in the process that sends them."""

import hmac
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from django.utils.crypto import salted_hmac

from crm.channels.calls import BadRequest, host_as_called
from crm.models import Secret, Team
from crm.sealing import SealBroken, seal, unseal

DOTS: Final = "••••"
SHORTEST: Final = 8
LONGEST: Final = 3_000
MOST_HOSTS: Final = 20
# Of shorter values the last characters would tell too much.
_TELLING: Final = 16
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_MARK: Final = re.compile(r"\[secret:([0-9]{1,18}):([A-Z][A-Z0-9_]{0,59}):([0-9a-f]{64})\]")
_SALT: Final = "crm.team_secrets.mark"

# What an app above knows: sentences about where secrets of a team are used, by their names.
Uses = Callable[[Team, Collection[str]], Mapping[str, list[str]]]
_known_uses: list[Uses] = []


class WrongSecret(ValueError):
    """A value or hosts that cannot be kept; the text says why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A secret in the clear, in the memory of the process that sends it; `trouble` says why there is none."""

    value: str = ""
    hosts: tuple[str, ...] = ()
    trouble: str = ""

    def __repr__(self) -> str:
        return f"<opened secret for {', '.join(self.hosts)}>"


def register_uses(uses: Uses) -> None:
    """Let pages of secrets say where an app above uses them; called once when the apps are ready."""
    _known_uses.append(uses)


def uses_of(team: Team, names: Collection[str]) -> dict[str, list[str]]:
    """What uses secrets of a team, as words by name."""
    found: dict[str, list[str]] = {}
    for uses in _known_uses:
        for name, words in uses(team, names).items():
            found.setdefault(name, []).extend(words)
    return found


def keep_value(secret: Secret, value: str) -> None:
    """Put a value into the row, sealed and unsaved; raises WrongSecret."""
    text = value.strip()
    if not SHORTEST <= len(text) <= LONGEST:
        raise WrongSecret(f"Write {SHORTEST} to {LONGEST:,} characters.")
    if not _PRINTABLE.fullmatch(text):
        raise WrongSecret("Headers carry letters, digits and signs of ASCII only, on one line.")
    secret.sealed = seal(text)
    secret.ending = text[-4:] if len(text) >= _TELLING else ""


def tidy_hosts(hosts: Iterable[str]) -> list[str]:
    """Names of hosts as calls spell them, each once; raises WrongSecret."""
    found: list[str] = []
    for given in hosts:
        host = _host_of(given.strip())
        if host not in found:
            found.append(host)
    if not found:
        raise WrongSecret("Name at least one host that this may be sent to, such as api.example.com.")
    if len(found) > MOST_HOSTS:
        raise WrongSecret(f"Name at most {MOST_HOSTS} hosts.")
    return found


def _host_of(given: str) -> str:
    # One colon stands before a port; an address of IPv6 has at least two.
    if not given or any(sign in given for sign in "/?#@") or given.count(":") == 1:
        raise WrongSecret(f"'{given[:100]}' is not the name of a host: write it without scheme, port and path.")
    try:
        return host_as_called(given)
    except BadRequest as error:
        raise WrongSecret(f"'{given[:100]}': {error}") from None


def masked(secret: Secret) -> str:
    """A secret as it may be shown."""
    return f"{DOTS}{secret.ending}"


def mark(*, team_id: int, name: str, visit: str) -> str:
    """What stands in a stored request for a secret; good for this visit alone, and nobody else can make one."""
    return f"[secret:{team_id}:{name}:{_proof(f'{team_id}:{name}:{visit}', str(settings.SECRET_KEY))}]"


def marks_in(text: str, *, visit: str) -> dict[str, tuple[int, str]]:
    """The genuine marks of a visit in a text, each with the team and the name it stands for."""
    return {
        found[0]: (int(found[1]), found[2])
        for found in _MARK.finditer(text)
        if _is_genuine(f"{found[1]}:{found[2]}:{visit}", found[3])
    }


def opened(wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], Opened]:
    """Secrets in the clear by team and name, in one statement; those that are gone are missing."""
    if not wanted:
        return {}
    rows = Secret.objects.filter(team_id__in={pk for pk, _ in wanted}, name__in={name for _, name in wanted})
    return {(row.team_id, row.name): _open(row) for row in rows if (row.team_id, row.name) in wanted}


def without_marks(value: Any) -> Any:
    """Plain data as it may be shown: dots where marks stand, genuine or not."""
    return _everywhere(value, lambda text: _MARK.sub(DOTS, text))


def without_values(value: Any, values: Collection[str]) -> Any:
    """Plain data with dots where it repeats one of these values, spelled as JSON and addresses spell it, too."""
    spelled = {each for text in values for each in (text, json.dumps(text)[1:-1], quote(text), quote(text, safe=""))}
    longest_first = sorted(spelled, key=len, reverse=True)

    def hidden(text: str) -> str:
        for each in longest_first:
            text = text.replace(each, DOTS)
        return text

    return _everywhere(value, hidden)


def _everywhere(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case dict():
            return {_everywhere(key, change): _everywhere(item, change) for key, item in value.items()}
        case list():
            return [_everywhere(item, change) for item in value]
    return value


def _open(row: Secret) -> Opened:
    try:
        return Opened(unseal(row.sealed), tuple(row.hosts))
    except SealBroken as error:
        return Opened(trouble=str(error))


def _is_genuine(said: str, proof: str) -> bool:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hmac.compare_digest(_proof(said, str(key)), proof) for key in keys)


def _proof(said: str, key: str) -> str:
    return salted_hmac(_SALT, said, secret=key, algorithm="sha256").hexdigest()
