# mypy: ignore-errors
"""django-drip-campaigns: one drip mailed to everybody by its own `send_drips`; it has no other job.

Nothing in it can be tuned: one connection for each mail, templates compiled for each mail, and no second worker,
because two of them would mail everybody twice.
"""

import time

import psycopg
from job import SENDER, TEXT, answer, arguments

options = arguments()


def configure() -> None:
    import django
    from django.conf import settings

    at = psycopg.conninfo.conninfo_to_dict(options.database)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    database = {key: at.get(name, "") for key, name in names.items()}
    host, port = options.smtp.split(":")
    settings.configure(
        SECRET_KEY="bench", USE_TZ=True, EMAIL_HOST=host, EMAIL_PORT=int(port), DEFAULT_FROM_EMAIL=SENDER,
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **database}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "drip"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )  # fmt: skip
    django.setup()


def prepare():
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from drip.models import Drip, QuerySetRule

    call_command("migrate", verbosity=0)
    numbers = range(1, options.contacts + 1)
    User.objects.bulk_create(User(username=f"c{n}", first_name=f"C{n}", email=f"c{n}@x.example") for n in numbers)
    drip = Drip.objects.create(
        name="welcome", enabled=True, from_email=SENDER, subject_template="Welcome {{ user.first_name }}",
        body_html_template=TEXT.replace("{name}", "{{ user.first_name }}"),
    )  # fmt: skip
    QuerySetRule.objects.create(drip=drip, field_name="email", lookup_type="endswith", field_value="@x.example")


def main() -> None:
    configure()
    prepare()
    from django.core.management import call_command
    from drip.models import SentDrip

    started = time.perf_counter()
    call_command("send_drips")
    seconds = time.perf_counter() - started
    assert SentDrip.objects.count() == options.contacts, SentDrip.objects.count()
    answer(options, seconds, package="django-drip-campaigns", workers="1 process", durability="a commit for each mail")


if __name__ == "__main__":
    main()
