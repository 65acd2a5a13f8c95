"""Settings of the project: one file, and the environment decides only what differs."""

import gc
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ

from config.environment import Environment
from config.fixed import CONTENT_SECURITY_POLICY as CONTENT_SECURITY_POLICY
from config.fixed import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from config.fixed import UNFOLD as UNFOLD

# A start makes 280,000 objects that live for ever; with Python's own figures a quarter of it is a search for garbage.
gc.set_threshold(20_000, 10, 10)
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = Environment()
if (BASE_DIR / ".env").exists():
    environ.Env.read_env(str(BASE_DIR / ".env"))

DEBUG: bool = env.bool("DEBUG", default=False)
SECRET_KEY: str = env.str("SECRET_KEY", default="")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
BASE_URL: str = env.str("BASE_URL", default="http://127.0.0.1:8000").rstrip("/")
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "config.apps.ProjectConfig",
    # Not its default config, which would put its own site in place of ours.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "config.admin_site.CrmAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "csp",
    "crm",
    "contacts",
    "pipelines",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "crm.headers.SecurityHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "crm.short_forms.ShortForms",
    "crm.middleware.CurrentTeam",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    """One URL, completed with what each engine needs to keep its promises."""
    VAR_DIR.mkdir(exist_ok=True)
    config: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'crm.sqlite3'}")
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"].endswith("sqlite3"):
        options.setdefault("transaction_mode", "IMMEDIATE")
        options.setdefault("timeout", 20)
        options.setdefault("init_command", "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA cache_size=-32000;")
    else:
        config.setdefault("CONN_MAX_AGE", 600)
        config.setdefault("CONN_HEALTH_CHECKS", True)
        # A cut network must free row locks within seconds, so both ends notice a dead peer.
        for name, value in {
            "connect_timeout": 10,
            "keepalives": 1,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 8000,
        }.items():
            options.setdefault(name, value)
        options.setdefault(
            "options",
            "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
            " -c tcp_user_timeout=8000 -c idle_in_transaction_session_timeout=60000",
        )
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", default="")
CACHES: dict[str, Any] = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {
            # Shared by every process of one machine, so throttles count across workers.
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": env.str("CACHE_DIR", default=str(VAR_DIR / "cache")),
            "OPTIONS": {"MAX_ENTRIES": 20000},
        }
    )
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["crm.auth.ThrottledModelBackend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
CSRF_FAILURE_VIEW = "crm.errors.csrf_failure"
LOGIN_ATTEMPTS_PER_ACCOUNT: int = env.int("LOGIN_ATTEMPTS_PER_ACCOUNT", default=8)
LOGIN_ATTEMPTS_PER_ADDRESS: int = env.int("LOGIN_ATTEMPTS_PER_ADDRESS", default=40)
LOGIN_ATTEMPTS_WINDOW: int = env.int("LOGIN_ATTEMPTS_WINDOW", default=300)
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.zone("TIME_ZONE", default="UTC")
USE_I18N = True
# One way to write times on every page: day, month by name, 24 hours.
FORMAT_MODULE_PATH = ["config.formats"]
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(VAR_DIR / "media"))
MEDIA_URL = ""

# captured:// keeps mail in files, which /admin/mail/captured/ shows.
environ.Env.EMAIL_SCHEMES["captured"] = "crm.channels.captured.EmailBackend"
# Providers whose webhooks are taken in, and whose API mail may leave by: EMAIL_URL=postmark://
MAIL_PROVIDERS: list[str] = env.list("MAIL_PROVIDERS", default=[])
for _provider in MAIL_PROVIDERS:
    environ.Env.EMAIL_SCHEMES[_provider.replace("_", "-")] = f"anymail.backends.{_provider}.EmailBackend"
ANYMAIL: dict[str, Any] = env.json("ANYMAIL", default={})
ANYMAIL["WEBHOOK_SECRET"] = env.str("ANYMAIL_WEBHOOK_SECRET", default="")
if MAIL_PROVIDERS:
    INSTALLED_APPS.append("anymail")
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="captured://" if DEBUG else "consolemail://")
globals().update(EMAIL_CONFIG)
if EMAIL_CONFIG["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend":
    # Same protocol, but it can tell "not accepted" from "answer lost".
    EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
EMAIL_TIMEOUT: int = env.int("EMAIL_TIMEOUT", default=30)
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default="CRM <crm@localhost>")
MAIL_DOMAIN: str = env.str("MAIL_DOMAIN", default="")
DKIM_SELECTORS: list[str] = env.list("DKIM_SELECTORS", default=[])
BOUNCE_MAILBOX: str = env.str("BOUNCE_MAILBOX", default="")
CAPTURED_MAIL_DIR: str = env.str("CAPTURED_MAIL_DIR", default=str(VAR_DIR / "mail"))

# Where SMS, push and WhatsApp messages leave by, as dotted paths of channels; without one their steps fail and say so.
_LETTER_BOX = "crm.channels.captured.LetterBox" if DEBUG else ""
MESSAGE_CHANNELS: dict[str, str] = {
    "sms": env.str("SMS_CHANNEL", default=_LETTER_BOX),
    "push": env.str("PUSH_CHANNEL", default=_LETTER_BOX),
    "whatsapp": env.str("WHATSAPP_CHANNEL", default=_LETTER_BOX),
}

OUTBOUND_HTTP_ALLOW: str = env.str("OUTBOUND_HTTP_ALLOW", default="")
OUTBOUND_HTTP_PORTS: list[int] = env.list("OUTBOUND_HTTP_PORTS", cast=int, default=[80, 443])
OUTBOUND_HTTP_SECONDS: float = env.float("OUTBOUND_HTTP_SECONDS", default=20.0)

ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[])

Q_CLUSTER: dict[str, Any] = {
    "name": "crm",
    "label": "Queue",
    "orm": "default",
    "workers": 1 if DATABASES["default"]["ENGINE"].endswith("sqlite3") else env.int("Q_WORKERS", default=2),
    "timeout": env.int("Q_TIMEOUT", default=90),
    "retry": env.int("Q_RETRY", default=450),
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "queue_limit": 1 if DATABASES["default"]["ENGINE"].endswith("sqlite3") else env.int("Q_WORKERS", default=2),
    "bulk": 1,
    "save_limit": -1,
    "poll": 0.2,
    "guard_cycle": 0.5,
}
if REDIS_URL:
    Q_CLUSTER.pop("orm")
    Q_CLUSTER["redis"] = REDIS_URL

# What the supervisor of the cluster looks at, and the task by which it asks for a sign of life: a tick,
# so that the engine also goes on while the schedule is broken.
WORKER_HEARTBEAT = "pipelines.queries.last_tick_at"
WORKER_PING = "pipelines.tasks.process_due_runs"
WORKER_STALE_SECONDS: float = env.float("WORKER_STALE_SECONDS", default=150.0)
WORKER_GRACE_SECONDS: float = env.float("WORKER_GRACE_SECONDS", default=Q_CLUSTER["timeout"] + 15.0)

PIPELINES_TEST_CLOCK: bool = env.bool("PIPELINES_TEST_CLOCK", default=False)
PIPELINES_BATCH_SIZE: int = env.int("PIPELINES_BATCH_SIZE", default=1000)
PIPELINES_TICK_SECONDS: float = env.float("PIPELINES_TICK_SECONDS", default=45.0)
PIPELINES_SEND_GROUP: int = env.int("PIPELINES_SEND_GROUP", default=50)
PIPELINES_KICK: bool = env.bool("PIPELINES_KICK", default=True)
PIPELINES_LEASE_SECONDS: int = env.int("PIPELINES_LEASE_SECONDS", default=120)
PIPELINES_HOOK_DAYS: int = env.int("PIPELINES_HOOK_DAYS", default=90)
IMPORT_KEEP_DAYS: int = env.int("IMPORT_KEEP_DAYS", default=7)
IMPORT_MAX_MB: int = env.int("IMPORT_MAX_MB", default=100)
PIPELINES_MAX_STEPS: int = env.int("PIPELINES_MAX_STEPS", default=50)
PIPELINES_MAX_DOCUMENT_BYTES: int = env.int("PIPELINES_MAX_DOCUMENT_BYTES", default=10 * 1024 * 1024)
# A request holds a whole document, and a mebibyte for what stands around it; forms of strangers are short (ShortForms).
DATA_UPLOAD_MAX_MEMORY_SIZE: int = PIPELINES_MAX_DOCUMENT_BYTES + 1024 * 1024
# What one run may remember: the event that began it, its variables and the outputs that are read later.
PIPELINES_MAX_CONTEXT_BYTES: int = env.int("PIPELINES_MAX_CONTEXT_BYTES", default=10 * 1024 * 1024)
# A step's circuit opens when it fails for so many different records within so many seconds, and for at least this share
# of those who reach it; 0 records switch the breakers off.
PIPELINES_CIRCUIT_RECORDS: int = env.int("PIPELINES_CIRCUIT_RECORDS", default=20)
PIPELINES_CIRCUIT_SHARE: float = env.float("PIPELINES_CIRCUIT_SHARE", default=0.5)
PIPELINES_CIRCUIT_SECONDS: int = env.int("PIPELINES_CIRCUIT_SECONDS", default=3600)
# What leaves of all teams together, such as {"email": "6000 per hour"}.
PIPELINES_PACE: dict[str, str] = env.json("PIPELINES_PACE", default={})
PIPELINES_SUBJECTS = ["contacts.contact", "contacts.company", "contacts.deal", "contacts.record"]
# Steps that run code people write; they also need requirements-code.txt.
PIPELINES_CODE_STEPS: bool = env.bool("PIPELINES_CODE_STEPS", default=False)
PIPELINES_ACTIONS: list[str] = env.list("PIPELINES_ACTIONS", default=[])

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["crm.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["crm.api.permissions.MatrixPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "crm.api.pagination.IdCursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["crm.api.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["crm.api.throttling.ApiKeyThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "api": env.str("API_RATE", default="6000/min"),
        "hooks": env.str("HOOK_RATE", default="1200/min"),
        "api_failures": env.str("API_FAILURE_RATE", default="30/min"),
    },
    "EXCEPTION_HANDLER": "crm.api.problems.problem_handler",
    "PAGE_SIZE": 50,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": None,
}

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 12
HTTPS: bool = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS and env.bool("SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Constraints that only PostgreSQL has are declared once and skipped on SQLite, where one
# writer and the forms hold them instead.
SILENCED_SYSTEM_CHECKS = ["models.W038", "models.W047"]

HEALTH_CHECKS: list[str] = ["crm.health.database", "crm.health.migrations"]


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "crm.logs.LineFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.level("LOG_LEVEL", default="INFO")},
    "loggers": {"django-q": {"level": "WARNING"}},
}
