"""Who carries messages for a team: what each provider must be told, and the channel that comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from crm.channels.calls import BadRequest, parse_url
from crm.channels.chat import Chat
from crm.channels.fcm import BASE as FCM_BASE
from crm.channels.fcm import BadAccount, Fcm, read_account
from crm.channels.letters import e164
from crm.channels.sms import BASE as TWILIO_BASE
from crm.channels.sms import TwilioSms
from crm.channels.web_push import WebPush, new_private_key, public_key
from crm.channels.whatsapp import BASE as META_BASE
from crm.channels.whatsapp import WhatsappCloud

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing a provider must be told. Secrets are sealed and never shown again."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = True
    default: str = ""
    long: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that carries messages of one channel.

    `make` answers a channel, or for push a transport of one kind of device; its second argument is where reports go.
    """

    code: str
    channel: str
    label: str
    about: str
    settings: tuple[Setting, ...]
    make: Callable[[Values, str], Any]
    check: Callable[[Values], dict[str, str]]
    reports: bool = False

    def problems(self, values: Values) -> dict[str, str]:
        """What is wrong with given values: a sentence by the name of its setting."""
        missing = [each for each in self.settings if each.required and not values.get(each.name)]
        found = {each.name: f"{each.label} is missing." for each in missing}
        return found or self.check(values)


def _address(default: str) -> Setting:
    return Setting("base_url", "Address", f"Empty is {default}.", required=False)


def _settings_by_number(default: str) -> tuple[Setting, ...]:
    """What every provider that reaches numbers may be told."""
    about = "Calling code of numbers that have none, such as +49; empty refuses them."
    return Setting("country", "Country", about, required=False), _address(default)


def _by_number(values: Values, default: str) -> dict[str, str]:
    return {"base": values.get("base_url") or default, "country": values.get("country", "")}


def _check_country(values: Values) -> dict[str, str]:
    country = values.get("country", "")
    if country and not (country.lstrip("+").isdigit() and 0 < len(country.lstrip("+")) < 5):
        return {"country": "Write a calling code such as +49."}
    return _check_base(values)


def _check_base(values: Values) -> dict[str, str]:
    return _check_url(values.get("base_url", ""), "base_url") if values.get("base_url") else {}


def _check_url(url: str, name: str) -> dict[str, str]:
    try:
        parse_url(url)
    except BadRequest as error:
        return {name: str(error)}
    return {}


def _check_sms(values: Values) -> dict[str, str]:
    sender = values["sender"]
    word = sender.isascii() and sender.replace(" ", "").isalnum() and len(sender) <= 11
    if not (e164(sender) or sender.startswith("MG") or (word and not sender.isdigit())):
        return {"sender": "Write a number such as +4915112345678, a name of at most 11 letters, or a service (MG…)."}
    return _check_country(values)


def _check_web_push(values: Values) -> dict[str, str]:
    if urlsplit(values["contact"]).scheme not in ("mailto", "https"):
        return {"contact": "Write mailto:ops@example.org, or an https address."}
    try:
        public_key(values["private_key"])
    except ValueError:
        return {"private_key": "This is no private key of VAPID: leave it empty to get a new one."}
    return {}


def _check_fcm(values: Values) -> dict[str, str]:
    try:
        read_account(values["service_account"])
    except BadAccount as error:
        return {"service_account": str(error)}
    return _check_base(values)


def _check_chat(values: Values) -> dict[str, str]:
    return _check_url(values["address"], "address")


TWILIO: Final = Provider(
    code="twilio",
    channel="sms",
    label="SMS by Twilio",
    about="SMS by Twilio's HTTP interface, or by a gateway that speaks it.",
    settings=(
        Setting("account_sid", "Account SID", "Begins with AC; on the first page of the console."),
        Setting("auth_token", "Auth token", "Signs what Twilio reports, too.", secret=True),
        Setting("sender", "From", "A number, a name of at most 11 letters, or a messaging service (MG…)."),
        *_settings_by_number(TWILIO_BASE),
    ),
    make=lambda values, callback: TwilioSms(
        values["account_sid"],
        values["auth_token"],
        values["sender"],
        callback=callback,
        **_by_number(values, TWILIO_BASE),
    ),
    check=_check_sms,
    reports=True,
)
WHATSAPP: Final = Provider(
    code="whatsapp_cloud",
    channel="whatsapp",
    label="WhatsApp by Meta",
    about="WhatsApp messages by Meta's Cloud API.",
    settings=(
        Setting("number_id", "Phone number ID", "Not the number itself: the ID beside it in the app's settings."),
        Setting("access_token", "Access token", "Of a system user, so that it does not end.", secret=True),
        Setting("app_secret", "App secret", "Signs what Meta reports.", secret=True),
        Setting("verify_token", "Verify token", "A word of your choice, which Meta asks for once.", secret=True),
        *_settings_by_number(META_BASE),
    ),
    make=lambda values, callback: WhatsappCloud(
        values["number_id"], values["access_token"], **_by_number(values, META_BASE)
    ),
    check=_check_country,
    reports=True,
)
WEB_PUSH: Final = Provider(
    code="webpush",
    channel="push",
    label="Push to browsers",
    about="Web Push, with a key pair of this team's own (VAPID). No account anywhere is needed.",
    settings=(
        Setting("contact", "Contact", "Where push services complain: mailto:ops@example.org."),
        Setting("private_key", "Private key", "Empty makes a new pair.", secret=True),
    ),
    make=lambda values, callback: WebPush(values["private_key"], values["contact"]),
    check=_check_web_push,
)
FCM: Final = Provider(
    code="fcm",
    channel="push",
    label="Push to apps",
    about="Push messages to Android and iOS apps by Firebase Cloud Messaging.",
    settings=(
        Setting("service_account", "Service account", "The whole JSON file.", secret=True, long=True),
        _address(FCM_BASE),
    ),
    make=lambda values, callback: Fcm(values["service_account"], values.get("base_url") or FCM_BASE),
    check=_check_fcm,
)
SLACK: Final = Provider(
    code="slack",
    channel="chat",
    label="Slack",
    about="Messages to a room of the team's own people, by an incoming webhook of Slack.",
    settings=(Setting("address", "Webhook address", "As Slack shows it; whoever knows it can post.", secret=True),),
    make=lambda values, callback: Chat(values["address"]),
    check=_check_chat,
)
TEAMS: Final = Provider(
    code="teams",
    channel="chat",
    label="Microsoft Teams",
    about="Messages to a channel of the team's own people, by a workflow with a webhook.",
    settings=(Setting("address", "Webhook address", "As Teams shows it; whoever knows it can post.", secret=True),),
    make=lambda values, callback: Chat(values["address"], cards=True),
    check=_check_chat,
)
PROVIDERS: Final[Mapping[str, Provider]] = {each.code: each for each in (TWILIO, WEB_PUSH, FCM, WHATSAPP, SLACK, TEAMS)}


def with_made_up(provider: Provider, values: Values) -> dict[str, str]:
    """The values with what nobody need choose, such as a new key pair."""
    made = dict(values)
    if provider is WEB_PUSH and not made.get("private_key"):
        made["private_key"] = new_private_key()
    return made
