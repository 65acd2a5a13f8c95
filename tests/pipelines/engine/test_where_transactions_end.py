"""What a step reads of a record does not depend on where a transaction of the engine happened to end."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from contacts.models import Company, Contact, Deal, FieldDefinition, Record, RecordType
from crm.models import Member, Team
from pipelines.engine import advance
from pipelines.models import PipelineRun
from tests.pipelines.engine.building import NOON, active, log
from tests.pipelines.engine.conftest import Run

# What is changed and, one after the other, what is read then.
Story = tuple[str, list[dict[str, Any]], dict[str, str], dict[str, Any]]
STORIES: dict[str, Story] = {
    "a custom value, by both of its names": (
        "contacts.contact",
        [{"values": {"tier": "gold", "custom.seats": 3, "old": None}}],
        {"tier": "= contact.custom.tier", "same": "= contact.tier", "seats": "= contact.seats + contact.custom.seats",
         "old": "= contact.custom.old"},
        {"tier": "gold", "same": "gold", "seats": 6, "old": None},
    ),
    "a custom value that a column hides": (
        "contacts.contact",
        [{"values": {"custom.email": "other@example.test"}}],
        {"email": "= contact.email", "custom": "= contact.custom.email"},
        {"email": "ann@example.test", "custom": "other@example.test"},
    ),
    "a value of a defined field, from text": (
        "contacts.contact", [{"values": {"size": "12"}}],
        {"more": "= contact.custom.size + contact.size"}, {"more": 24},
    ),
    "the name of a person": (
        "contacts.contact",
        [{"values": {"first_name": "Bea"}}, {"values": {"last_name": ""}}],
        {"name": "= contact.name", "told": "{{ contact.name }}!"},
        {"name": "Bea", "told": "Bea!"},
    ),
    "a point in time, from text": (
        "contacts.contact",
        [{"values": {"last_interaction": "2027-02-01T13:00:00+01:00"}}],
        {"at": "= contact.last_interaction"},
        {"at": "2027-02-01T12:00:00+00:00"},
    ),
    "who owns a contact, and its company, changed after that": (
        "contacts.contact",
        [{"values": {"owner": "= vars.user", "company": "= vars.firm"}},
         {"record": "= contact.company", "values": {"industry": "Tea", "domain": "tea.test"}}],
        {"owner": "= contact.owner.email", "id": "= contact.owner.id", "company": "= contact.company.name",
         "industry": "= contact.company.industry"},
        {"owner": "eve@example.test", "company": "Acme", "industry": "Tea"},
    ),
    "the manager of whoever owns it now": (
        "contacts.contact",
        [{"values": {"owner": "= vars.user"}}],
        {"manager": "= contact.owner.manager.email", "same": "= contact.owner.manager.id == vars.chief"},
        {"manager": "max@example.test", "same": True},
    ),
    "a company that changes before it becomes somebody's": (
        "contacts.contact",
        [{"record": "= vars.firm", "model": "contacts.company", "values": {"industry": "Tea"}},
         {"values": {"company": "= vars.firm"}}],
        {"industry": "= contact.company.industry"},
        {"industry": "Tea"},
    ),
    "nobody owns it any more": (
        "contacts.contact", [{"values": {"owner": None}}], {"owner": "= contact.owner"}, {"owner": None},
    ),
    "an amount and a date, from text": (
        "contacts.deal",
        [{"values": {"amount": "5000", "expected_close": "2027-04-01"}}],
        {"double": "= deal.amount * 2", "told": "{{ deal.amount }}", "big": "= deal.amount > 400",
         "month": "= deal.expected_close"},
        {"double": "10000.00", "told": "5000.00", "big": True, "month": "2027-04-01"},
    ),
    "a custom value worked out of an amount": (
        "contacts.deal", [{"values": {"double": "= deal.amount * 2"}}], {"double": "= deal.custom.double"},
        {"double": "6.00"},
    ),
    "a record of an own type": (
        "records.product",
        [{"values": {"quantity": "7", "note": None}}],
        {"quantity": "= subject.quantity + 1", "note": "= subject.note"},
        {"quantity": 8, "note": None},
    ),
}  # fmt: skip


def steps(changes: list[dict[str, Any]], reads: dict[str, str]) -> list[dict[str, Any]]:
    changing = [{"key": f"change_{n}", "type": "update_record", "with": given} for n, given in enumerate(changes)]
    read = {"key": "read", "type": "set_variable", "with": {"values": reads}}
    return [*changing, read]


def typed(name: str, value: Any) -> dict[str, Any]:
    types: dict[type, str] = {str: "string", bool: "boolean", int: "number"}
    return {"name": name, "type": types.get(type(value), "object")}


@pytest.fixture
def firm(team: Team) -> Company:
    FieldDefinition.objects.create(team=team, model="contacts.contact", key="size", label="Size", type="number")
    fields = [{"key": "quantity", "type": "integer"}, {"key": "note", "type": "text"}]
    RecordType.objects.create(team=team, key="product", label="Product", fields=fields)
    return Company.objects.create(team=team, name="Acme", industry="Coal")


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_step_reads_what_steps_before_it_wrote_wherever_a_transaction_ends(
    team: Team, run_at: Run, firm: Company, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    subject, changes, reads, wanted = story
    chief, user = (get_user_model().objects.create_user(name, f"{name}@example.test") for name in ("max", "eve"))
    Member.objects.create(team=team, user=user, manager=Member.objects.create(team=team, user=chief))
    variables = [
        {"name": "user", "type": "number", "default": user.pk},
        {"name": "chief", "type": "number", "default": chief.pk},
        {"name": "firm", "type": "number", "default": firm.pk},
    ]
    active(
        team, steps(changes, reads), subject=subject,
        variables=[*variables, *(typed(name, wanted.get(name, 1)) for name in reads)],
        triggers=[{"type": "created", "model": subject, "automatic": True}],
    )  # fmt: skip
    found = []
    for hops in (1, 32):
        monkeypatch.setattr(advance, "MAX_HOPS", hops)
        Company.objects.update(industry="Coal", domain="")
        made(team, subject)
        run_at(NOON)
        run = PipelineRun.objects.order_by("-pk")[0]
        # Whatever is tried again begins a transaction of its own.
        assert {event for _, event, _ in log(run)} == {"completed"}
        found.append({name: value for name, value in run.context.vars.items() if name in reads})
    assert found[0] == found[1]
    assert found[1] | wanted == found[1]


def made(team: Team, subject: str) -> None:
    match subject:
        case "contacts.contact":
            custom = {"old": 1, "tier": "tin"}
            Contact.objects.create(
                team=team, first_name="Ann", last_name="Lee", email="ann@example.test", custom=custom
            )
        case "contacts.deal":
            Deal.objects.create(team=team, title="Big", amount=Decimal(3), expected_close=date(2027, 1, 1))
        case _:
            Record.objects.create(team=team, type=RecordType.objects.get(), values={"quantity": 1, "note": "n"})
