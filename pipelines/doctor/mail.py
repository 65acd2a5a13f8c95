"""What other mail servers find out about ours by asking for names: SPF, DKIM, DMARC, MX and PTR, in words."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Final

from django.conf import settings

from crm.channels.names import Names, NoAnswer, can_look_up
from pipelines.doctor.findings import Finding

# An RSA key of 1,024 bits, as it stands in a record: others refuse shorter ones.
SHORTEST_KEY: Final = 150
SMTP: Final = "crm.channels.smtp.EmailBackend"
_TAG: Final = re.compile(r"\s*([a-z]+)\s*=\s*([^;]*)")


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose mail is examined: the domain in From, the DKIM selectors, the addresses it leaves from."""

    domain: str
    selectors: Sequence[str] = ()
    addresses: Sequence[str] = ()
    host: str = ""


def sender(*, domain: str = "", selectors: Sequence[str] = (), addresses: Sequence[str] = ()) -> Sender:
    """As the settings say, where nothing else is given."""
    own = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    host = str(settings.EMAIL_HOST) if settings.EMAIL_BACKEND == SMTP else ""
    return Sender((domain or own).lower(), selectors or settings.DKIM_SELECTORS, addresses, host)


def examine_mail(sender: Sender, names: Names) -> list[Finding]:
    """What is missing or wrong, with the record to add; one finding alone when nothing can be looked up."""
    if not can_look_up():
        return [_found("mail.library", "Nothing can be looked up: dnspython is not installed.",
                       "pip install -r requirements-dns.txt")]  # fmt: skip
    if "." not in sender.domain:
        return [_found("mail.sender", f"Mail is sent from {sender.domain or 'nowhere'}, which is no domain.",
                       "Set DEFAULT_FROM_EMAIL to an address of a domain of yours.")]  # fmt: skip
    try:
        return [
            *_spf(sender, names.texts(sender.domain)),
            *_dkim(sender, names),
            *_dmarc(sender, names),
            *_mail_servers(sender, names),
            *_hosts(sender, names),
        ]
    except NoAnswer as problem:
        advice = "Run this where a name server can be reached, or name one with --resolver 9.9.9.9:53."
        return [_found("mail.resolver", f"No name server answers ({problem}): nothing was found out.", advice)]


def _found(code: str, problem: str, advice: str) -> Finding:
    return Finding(code=code, problem=problem, advice=advice)


def _spf(sender: Sender, texts: Sequence[str]) -> Iterator[Finding]:
    records = [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]
    servers = f"a:{sender.host}" if sender.host and not _is_here(sender.host) else "mx"
    add = f'Add a TXT record to {sender.domain}: "v=spf1 {servers} ~all", or what your mail provider gives you.'
    if not records:
        yield _found("mail.spf", f"{sender.domain} does not say which servers send its mail (SPF).", add)
    elif len(records) > 1:
        problem = f"{sender.domain} has {len(records)} SPF records, so none counts."
        yield _found("mail.spf", problem, "Make one of them: put all that is allowed between v=spf1 and ~all.")
    else:
        words = records[0].lower().split()
        if words[-1] in ("all", "+all"):
            problem = f"SPF of {sender.domain} lets everybody send in its name (+all)."
            yield _found("mail.spf", problem, f"Change the end of the TXT record of {sender.domain} to ~all or -all.")
        elif not any(word.endswith("all") or word.startswith("redirect=") for word in words):
            problem = f"SPF of {sender.domain} does not say what to do with other servers."
            yield _found("mail.spf", problem, f"Add ~all at the end of the TXT record of {sender.domain}.")


def _dkim(sender: Sender, names: Names) -> Iterator[Finding]:
    if not sender.selectors:
        problem = f"Whether mail of {sender.domain} is signed (DKIM) cannot be told without a selector."
        advice = "Your mail server or provider shows it. Say --selector NAME, or set DKIM_SELECTORS."
        yield _found("mail.dkim", problem, advice)
    for selector in sender.selectors:
        place = f"{selector}._domainkey.{sender.domain}"
        keys = [tags["p"] for text in names.texts(place) if "p" in (tags := _tags(text))]
        if not keys:
            advice = f'Add a TXT record to {place}: "v=DKIM1; k=rsa; p=…" with the key your server signs with.'
            yield _found("mail.dkim", f"There is no DKIM key at {place}.", advice)
        elif not keys[0]:
            problem = f"The DKIM key at {place} was taken back: its p is empty."
            yield _found("mail.dkim", problem, "Sign with another selector, or put the key back.")
        elif _length(keys[0]) is None:
            yield _found("mail.dkim", f"The DKIM key at {place} cannot be read.", "Copy the key again, as one line.")
        elif "ed25519" not in " ".join(names.texts(place)) and (_length(keys[0]) or 0) < SHORTEST_KEY:
            problem = f"The DKIM key at {place} is shorter than 1,024 bits: others do not believe it."
            yield _found("mail.dkim", problem, "Make a key of 2,048 bits, and replace the record.")


def _dmarc(sender: Sender, names: Names) -> Iterator[Finding]:
    """Of the domain, or of one above it."""
    labels = sender.domain.split(".")
    add = (
        f'Add a TXT record to _dmarc.{sender.domain}: "v=DMARC1; p=none; rua=mailto:postmaster@{sender.domain}".'
        " When its reports look well, change p to quarantine."
    )
    for start in range(len(labels) - 1):
        place = f"_dmarc.{'.'.join(labels[start:])}"
        records = [text for text in names.texts(place) if text.lower().replace(" ", "").startswith("v=dmarc1")]
        if len(records) > 1:
            yield _found(
                "mail.dmarc", f"{place} has {len(records)} DMARC records, so none counts.", "Keep one of them."
            )
        elif records and _tags(records[0]).get("p", "").lower() not in ("none", "quarantine", "reject"):
            problem = f"DMARC at {place} has no p that others know."
            yield _found("mail.dmarc", problem, "Write p=none, p=quarantine or p=reject right after v=DMARC1.")
        if records:
            return
    yield _found("mail.dmarc", f"{sender.domain} does not say what becomes of forged mail (DMARC).", add)


def _mail_servers(sender: Sender, names: Names) -> Iterator[Finding]:
    if not names.mail_servers(sender.domain) and not names.addresses(sender.domain):
        problem = f"No server takes mail for {sender.domain}: answers and bounces are lost, and others refuse its mail."
        advice = f"Add an MX record to {sender.domain} that names the server of its mailboxes."
        yield _found("mail.mx", problem, advice)


def _hosts(sender: Sender, names: Names) -> Iterator[Finding]:
    """The names of the addresses that mail leaves from, each of which must lead back."""
    given = sender.addresses or (names.addresses(sender.host) if sender.host and not _is_here(sender.host) else ())
    for address in given:
        hosts = names.hosts(address)
        if not hosts:
            advice = f"Whoever rents {address} to you can set it: ask for the name of your mail server."
            yield _found("mail.ptr", f"{address} has no name (PTR): many servers refuse mail from it.", advice)
        elif not any(ip_address(address) in map(ip_address, names.addresses(host)) for host in hosts):
            advice = f"Add an A or AAAA record to {hosts[0]} with {address}, or give {address} another name."
            yield _found("mail.ptr", f"{address} is named {hosts[0]}, which does not lead back to it.", advice)


def _tags(text: str) -> dict[str, str]:
    return {name: "".join(value.split()) for name, value in _TAG.findall(text)}


def _length(key: str) -> int | None:
    try:
        return len(base64.b64decode(key, validate=True))
    except binascii.Error:
        return None


def _is_here(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host
