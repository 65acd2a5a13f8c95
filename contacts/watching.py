"""Triggers of the database that note which contacts changed, whoever writes them, where segments have rules."""

from collections.abc import Mapping
from typing import Any, Final

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# The table that is written, at what, and the contacts (team, id) that a changed row `n` is about.
_CONTACT: Final = "SELECT n.team_id, n.id FROM {changed} n"
_TAGGED: Final = "SELECT c.team_id, c.id FROM {changed} n JOIN contacts_contact c ON c.id = n.contact_id"
_NAMED: Final = (
    "SELECT c.team_id, c.id FROM {changed} n JOIN contacts_contact_tags t ON t.tag_id = n.id "
    "JOIN contacts_contact c ON c.id = t.contact_id"
)
_EMPLOYED: Final = "SELECT c.team_id, c.id FROM {changed} n JOIN contacts_contact c ON c.company_id = n.id"
WATCHED: Final[Mapping[str, tuple[str, str, str]]] = {
    "contact_made": ("contacts_contact", "INSERT", _CONTACT),
    "contact_changed": ("contacts_contact", "UPDATE", _CONTACT),
    "tag_given": ("contacts_contact_tags", "INSERT", _TAGGED),
    "tag_taken": ("contacts_contact_tags", "DELETE", _TAGGED),
    "tag_renamed": ("contacts_tag", "UPDATE", _NAMED),
    "company_changed": ("contacts_company", "UPDATE", _EMPLOYED),
}
_NOTE: Final = """
INSERT INTO contacts_segmentchange (team_id, contact_id)
SELECT s.team_id, s.id FROM ({about}) s
 WHERE EXISTS (SELECT 1 FROM contacts_segment g WHERE g.team_id = s.team_id AND g.kind = 'dynamic')"""
_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION segment_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {note}; RETURN NULL; END $$"""
# Once for a statement, however many rows it writes.
_POSTGRESQL: Final = """
CREATE OR REPLACE TRIGGER segment_{name} AFTER {event} ON {table}
REFERENCING {side} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION segment_{name}()"""
_SQLITE: Final = """
CREATE TRIGGER IF NOT EXISTS segment_{name} AFTER {event} ON {table} FOR EACH ROW
WHEN EXISTS (SELECT 1 FROM contacts_segment WHERE kind = 'dynamic') BEGIN {note}; END"""


def install(editor: BaseDatabaseSchemaEditor) -> None:
    """Put the triggers in, or put back those that SQLite lost when a migration rebuilt their table."""
    for statement in statements(editor.connection.vendor):
        editor.execute(statement, None)


def statements(vendor: str) -> list[str]:
    """The SQL that installs every trigger, safe to repeat."""
    found: list[str] = []
    for name, (table, event, about) in WATCHED.items():
        side = "OLD" if event == "DELETE" else "NEW"
        if vendor == "postgresql":
            note = _NOTE.format(about=about.format(changed="changed"))
            found.append(_FUNCTION.format(name=name, note=note))
            found.append(_POSTGRESQL.format(name=name, event=event, table=table, side=side))
        elif vendor == "sqlite":
            key = "contact_id" if table == "contacts_contact_tags" else "id"
            team = "" if table == "contacts_contact_tags" else f", {side}.team_id AS team_id"
            row = f"(SELECT {side}.{key} AS {key}{team})"
            note = _NOTE.format(about=about.format(changed=row))
            found.append(_SQLITE.format(name=name, event=event, table=table, note=note))
    return found


def remove(editor: BaseDatabaseSchemaEditor) -> None:
    """Take the triggers out."""
    for name, (table, _, _) in WATCHED.items():
        if editor.connection.vendor == "postgresql":
            editor.execute(f"DROP TRIGGER IF EXISTS segment_{name} ON {table}", None)
            editor.execute(f"DROP FUNCTION IF EXISTS segment_{name}()", None)
        else:
            editor.execute(f"DROP TRIGGER IF EXISTS segment_{name}", None)


def put_back(**_: Any) -> None:
    """After every migrate: SQLite loses triggers whenever a migration rebuilds a table."""
    from django.db import connection

    if connection.vendor != "sqlite":
        return
    known = set(connection.introspection.table_names())
    if "contacts_segmentchange" in known:
        with connection.cursor() as cursor:
            for statement in statements("sqlite"):
                cursor.execute(statement)
