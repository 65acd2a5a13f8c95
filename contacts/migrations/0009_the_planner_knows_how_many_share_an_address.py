"""Addresses are looked up in any case by a partial index, of which PostgreSQL keeps no statistics that it would use.

Without any it takes each address for one in two hundred of all contacts, and reads the whole table for a thousand.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def keep(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute("CREATE STATISTICS contact_email_lower ON (lower(email)) FROM contacts_contact", None)
        editor.execute("ANALYZE contacts_contact", None)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP STATISTICS contact_email_lower", None)


class Migration(migrations.Migration):
    dependencies = [("contacts", "0008_imports_go_on_where_they_stopped")]

    operations = [migrations.RunPython(keep, drop)]
