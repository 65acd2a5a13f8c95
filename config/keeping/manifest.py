"""What an archive says of itself: code, migrations, database, counts, checksums and fingerprints of keys."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from config.keeping.refusals import Refused

FORMAT: Final = "crm.backup/1"
# Slow on purpose: whoever finds an archive must not try words against the fingerprint of a weak key.
ROUNDS: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file of the archive: bytes and SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Written last into the archive, read first of it."""

    made_at: str
    version: str
    database: str
    server: str
    migrations: Sequence[str]
    counts: Mapping[str, int]
    secret_key: str
    encryption_keys: Sequence[str]
    members: Mapping[str, Member] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def taken_at(self) -> datetime:
        return datetime.fromisoformat(self.made_at)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def parse(text: bytes) -> Manifest:
    """The manifest; raises Refused."""
    try:
        given: dict[str, Any] = json.loads(text)
        if given["format"] != FORMAT:
            raise Refused(f"This archive has the format {given['format']}; this code reads {FORMAT}.")
        given["members"] = {name: Member(**each) for name, each in given["members"].items()}
        return Manifest(**{each.name: given[each.name] for each in fields(Manifest)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused("The manifest of this archive cannot be read: it is no backup, or a broken one.") from error


def applied_migrations() -> list[str]:
    """What the tables were made by, as `app.name`."""
    return sorted(".".join(each) for each in MigrationLoader(connection).applied_migrations)


def unknown_migrations(manifest: Manifest) -> list[str]:
    """Migrations of the archive that this code does not have: it was made by newer code, or by more apps."""
    known = {".".join(each) for each in MigrationLoader(None, ignore_no_migrations=True).disk_migrations}
    return sorted(set(manifest.migrations) - known)


def keys_of_here() -> tuple[str, list[str]]:
    """Fingerprints of the secret key, and of the keys that seal secrets."""
    return fingerprint(str(settings.SECRET_KEY)), [fingerprint(key) for key in settings.ENCRYPTION_KEYS]


def missing_keys(manifest: Manifest) -> list[str]:
    """What is to be put back into the settings, in sentences."""
    told = []
    secrets = {fingerprint(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)}
    if manifest.secret_key not in secrets:
        told.append(
            f"The backup was made with another SECRET_KEY (fingerprint {manifest.secret_key}): without it links in old"
            " mail, sessions, refusals of erased people and secrets of channels do not work. Put it into SECRET_KEY, or"
            " into SECRET_KEY_FALLBACKS."
        )
    here = {fingerprint(key) for key in settings.ENCRYPTION_KEYS}
    lost = [each for each in manifest.encryption_keys if each not in here]
    if lost:
        told.append(
            f"ENCRYPTION_KEYS lacks {len(lost)} of the backup's keys (fingerprint {', '.join(lost)}): secrets of"
            " channels and webhooks sealed with them cannot be read until they are back."
        )
    return told


@cache
def fingerprint(key: str) -> str:
    """Sixteen digits that tell keys apart and give nothing away."""
    return hashlib.pbkdf2_hmac("sha256", key.encode(), b"crm.backup", ROUNDS).hex()[:16]
