"""The project's settings under test: the environment is fixed here, so a developer's `.env` changes nothing."""

import os
import tempfile

os.environ.update(
    SECRET_KEY="a-key-for-tests-only-that-is-long-enough-for-every-check-0123456789",
    DEBUG="1",
    HTTPS="0",
    BASE_URL="http://testserver",
    ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    EMAIL_URL="memorymail://",
    DEFAULT_FROM_EMAIL="Acme <hello@acme.example>",
    MAIL_PROVIDERS="postmark",
    ANYMAIL_WEBHOOK_SECRET="hooks:a-password-of-tests-0123",
    REDIS_URL="",
    PIPELINES_KICK="0",
    PIPELINES_TEST_CLOCK="0",
    PIPELINES_ACTIONS="",
    OUTBOUND_HTTP_ALLOW="",
    MEDIA_ROOT=tempfile.mkdtemp(prefix="crm-media-"),
    CAPTURED_MAIL_DIR=tempfile.mkdtemp(prefix="crm-mail-"),
)
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")

from config.settings import *  # noqa: F403
from config.settings import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# No test collects static files.
WHITENOISE_AUTOREFRESH = True
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
# Several test runs may share one server.
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    DATABASES["default"]["TEST"] = {"NAME": "test_crm" + os.environ.get("TEST_DB_SUFFIX", "")}
