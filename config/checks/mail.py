"""Checks of outgoing mail: a sender that exists, a bound on waiting, and that mail leaves at all."""

from email.utils import parseaddr
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ValidationError
from django.core.validators import validate_domain_name

from crm.channels.email import valid_address
from crm.channels.mailbox import mailbox_problem
from crm.providers import is_known_provider

SMTP: Final = "crm.channels.smtp.EmailBackend"
KEPT_HERE: Final = (
    "django.core.mail.backends.console.EmailBackend",
    "django.core.mail.backends.dummy.EmailBackend",
    "django.core.mail.backends.filebased.EmailBackend",
    "django.core.mail.backends.locmem.EmailBackend",
    "crm.channels.captured.EmailBackend",
)
SECRET_LENGTH: Final = 20
THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")


def check_sender(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E070, crm.E071, crm.E077: what stands in From and in Message-ID, and where mail comes back to."""
    found: list[CheckMessage] = []
    _, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    if not valid_address(address) and not address.endswith("@localhost"):
        hint = "For example: Example Inc <hello@example.org>."
        found.append(Error("DEFAULT_FROM_EMAIL is not an email address.", hint=hint, id="crm.E070"))
    if settings.MAIL_DOMAIN and not _is_domain(settings.MAIL_DOMAIN):
        hint = "A domain such as example.org, or nothing to take that of the sender."
        found.append(Error("MAIL_DOMAIN is not a domain.", hint=hint, id="crm.E071"))
    problem = mailbox_problem(settings.BOUNCE_MAILBOX) if settings.BOUNCE_MAILBOX else ""
    if problem:
        found.append(Error("BOUNCE_MAILBOX is not the address of a mailbox.", hint=problem, id="crm.E077"))
    return found


def check_providers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E078, crm.E079: webhooks of providers need the package, a name it knows, and a secret."""
    found: list[CheckMessage] = []
    for provider in settings.MAIL_PROVIDERS:
        if not is_known_provider(provider):
            hint = "Install requirements-anymail.txt, and use names such as postmark, sendgrid or amazon_ses."
            found.append(Error(f"MAIL_PROVIDERS names {provider}, which is not known.", hint=hint, id="crm.E078"))
    name, _, password = str(settings.ANYMAIL.get("WEBHOOK_SECRET", "")).partition(":")
    if settings.MAIL_PROVIDERS and (not name or len(f"{name}{password}") < SECRET_LENGTH or not password):
        hint = "Set it to name:password with 20 characters or more; without it no webhook of a provider is taken in."
        found.append(Error("ANYMAIL_WEBHOOK_SECRET is missing or weak.", hint=hint, id="crm.E079"))
    return found


def check_timeout(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E072: a mail server that never answers must not hold a worker for ever."""
    if settings.EMAIL_TIMEOUT and settings.EMAIL_TIMEOUT > 0:
        return []
    return [Error("EMAIL_TIMEOUT sets no bound.", hint="Give it seconds above zero; 30 is the default.", id="crm.E072")]


def check_mail_leaves(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.W073 to crm.W075: the engine counts as sent what its backend took."""
    found: list[CheckMessage] = []
    if settings.EMAIL_BACKEND in KEPT_HERE:
        hint = "Set EMAIL_URL, for example smtp+tls://user:password@mail.example.org:587."
        found.append(Warning("Mail is not sent to anyone.", hint=hint, id="crm.W073"))
    _, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    if address.endswith("@localhost"):
        hint = "Set DEFAULT_FROM_EMAIL to an address of a domain of yours: others refuse mail from localhost."
        found.append(Warning("Mail is sent from localhost.", hint=hint, id="crm.W074"))
    if settings.EMAIL_BACKEND == SMTP and _password_in_the_clear():
        hint = "Use smtp+tls:// or smtp+ssl:// in EMAIL_URL."
        found.append(Warning("The password of the mail server is sent unencrypted.", hint=hint, id="crm.W075"))
    return found


def _password_in_the_clear() -> bool:
    encrypted = settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL
    return bool(settings.EMAIL_HOST_PASSWORD and not encrypted and settings.EMAIL_HOST not in THIS_MACHINE)


def _is_domain(text: str) -> bool:
    try:
        validate_domain_name(text)
    except ValidationError:
        return False
    return True
