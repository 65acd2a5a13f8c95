"""A rule gives the same verdict whether the database is asked or each contact is looked at."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from contacts.models import Company, Contact, Tag
from crm.models import Member, Team
from pipelines.engine.segments.rule import contact_kind, load, problems, rule_of
from pipelines.models import Event
from tests.pipelines.engine.building import NOON, later

TEXTS = ["", "pro", "Pro", "a%b_c", "äöü", "ß", "2027-02-20", "3", "true", "null", "[]", "x" * 40]
NUMBERS = [0, 1, 3, 3.0, 0.1, -2.5, 10**6, True, False]
VALUES: list[Any] = [*TEXTS, *NUMBERS, None]
BIRTHDAYS = ["1992-02-29", "1992-02-28", "1990-03-01", "1992-02-29T23:00:00-05:00"]
LISTS: list[Any] = [[], ["pro"], [3, "3", True, None], [0.1], {}, {"pro": 1}]
DAYS = [
    None,
    NOON,
    later(days=-1),
    later(days=-40, hours=1),
    datetime(2027, 2, 20, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 30, tzinfo=UTC),
    NOON + timedelta(microseconds=500_000),
]
FIELDS = [
    "contact.first_name", "contact.lifecycle_stage", "contact.id", "contact.last_interaction", "contact.custom.plan",
    "contact.plan", "record.score", "contact.nothing", "contact.company", "contact.company.industry",
    "contact.company.id", "contact.tags", "contact.did.visited.times", 'contact.did["order.paid"].latest',
    "contact.name", "contact.owner.email", "contact.owner.manager", "contact.owner.manager.first_name",
    "contact.owner.manager.id",
]  # fmt: skip
PLAIN = ["equals", "not_equals", "contains", "not_contains", "greater_than", "less_than", "greater_or_equal",
         "less_or_equal", "starts_with", "ends_with"]  # fmt: skip
value = st.sampled_from([*VALUES, "2027-03-01T12:00:00Z", "2027-03-01T13:00:00+01:00"])


def clause(field: str) -> st.SearchStrategy[Any]:
    def made(operator: str, given: Any = None) -> dict[str, Any]:
        return {"field": field, "operator": operator, "value": given}

    words = st.sampled_from(["is_empty", "is_not_empty", "is_true", "is_false"])
    return st.one_of(
        st.builds(made, st.sampled_from(PLAIN), value),
        st.builds(made, words),
        st.builds(made, st.sampled_from(["in_list", "not_in_list"]), st.lists(value, max_size=3)),
        st.builds(made, st.just("between"), st.lists(value, min_size=2, max_size=2)),
        st.builds(made, st.sampled_from(["before", "after"]), st.sampled_from(["2027-02-20", "2027-03-01T12:00:00Z"])),
        st.builds(
            made, st.just("recurs_on"), st.sampled_from([*BIRTHDAYS, "2027-02-28", "2028-02-28", "= now", "= 'soon'"])
        ),
        st.builds(made, st.sampled_from(["within_last", "not_within_last"]), st.sampled_from(["2d", "60d"])),
    )


conditions = st.recursive(
    st.sampled_from(FIELDS).flatmap(clause) | st.booleans(),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=5,
)


class Agreement(TestCase):
    """The rows stay, the conditions are random."""

    team: Team

    @classmethod
    def setUpTestData(cls) -> None:
        cls.team = Team.objects.create(name="Acme", slug="acme")
        companies = [*Company.objects.bulk_create(Company(team=cls.team, name=f"c{n}", industry=text)
                                                  for n, text in enumerate(["", "pro", "äöü"])), None]  # fmt: skip
        pairs = zip([*VALUES, *LISTS], [*LISTS, *VALUES], strict=True)
        custom: list[dict[str, Any]] = [{}, *({"plan": one, "score": other} for one, other in pairs)]
        custom += [{"plan": day, "score": LISTS} for day in BIRTHDAYS]
        owners = [*cls._members(), None]
        people = Contact.objects.bulk_create(
            Contact(team=cls.team, first_name=TEXTS[n % len(TEXTS)], lifecycle_stage=["lead", "customer"][n % 2],
                    company=companies[n % 4], owner=owners[n % 5], last_interaction=DAYS[n % len(DAYS)], custom=values)
            for n, values in enumerate(custom)
        )  # fmt: skip
        tags = Tag.objects.bulk_create(Tag(team=cls.team, name=name) for name in ("pro", "äöü", "3"))
        for n, person in enumerate(people):
            person.tags.set(tags[: n % 4])
        kind = ContentType.objects.get_for_model(Contact)
        Event.objects.bulk_create(
            Event(team=cls.team, type=name, subject_type=kind, subject_id=person.pk,
                  occurred_at=DAYS[1 + n % 5] or NOON)
            for n, person in enumerate(people) for name in ["visited"] * (n % 4) + ["order.paid"] * (n % 2)
        )  # fmt: skip
        Contact.objects.create(team=Team.objects.create(name="Other", slug="other"), first_name="pro")

    @classmethod
    def _members(cls) -> list[User]:
        """Under nobody, under each other, and one who manages another in another team."""
        users = [
            User.objects.create(username=f"u{n}", first_name=text) for n, text in enumerate(["pro", "", "äöü", "3"])
        ]
        other, above = Team.objects.create(name="Else", slug="else"), None
        for user in users[:3]:
            above = Member.objects.create(team=cls.team, user=user, manager=above)
        elsewhere = [Member.objects.create(team=other, user=user) for user in users]
        Member.objects.filter(team=other).exclude(user=users[0]).update(manager=elsewhere[0])
        return users

    @settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
    @given(conditions)
    @example({"field": "contact.plan", "operator": "recurs_on", "value": "2027-02-28"})
    @example({"not": {"field": "contact.last_interaction", "operator": "recurs_on", "value": "2027-02-28"}})
    @example({"field": "contact.owner.manager.first_name", "operator": "equals", "value": "pro"})
    @example({"not": {"field": "contact.owner.manager.first_name", "operator": "contains", "value": ""}})
    @example({"field": "contact.owner.manager", "operator": "is_not_empty"})
    @example({"not": {"field": "contact.company.industry", "operator": "contains", "value": ""}})
    def test_the_database_and_the_evaluator_agree(self, where: Any) -> None:
        rule = rule_of(where)
        asked = rule.contacts(self.team.pk, now=NOON)
        if asked is None:
            return
        ids = list(Contact.objects.filter(team=self.team).values_list("pk", flat=True))
        met = {pk for pk, record in load(ids, [rule]).items() if rule.meets(record, now=NOON)}
        assert set(asked.values_list("pk", flat=True)) == met
        assert asked.count() == len(met)


@pytest.mark.parametrize("where", [
    {"field": "contact.lifecycle_stage", "operator": "not_equals", "value": "lead"},
    {"any": [{"field": "contact.custom.plan", "operator": "in_list", "value": ["pro", 3]},
             {"field": "contact.tags", "operator": "contains", "value": "VIP"}]},
    {"not": {"field": "contact.did.email_clicked.times", "operator": "greater_than", "value": 2}},
    {"field": "contact.last_interaction", "operator": "not_within_last", "value": "30d"},
    {"field": "contact.company.industry", "operator": "starts_with", "value": "Tech"},
    {"field": "contact.birthday", "operator": "recurs_on", "value": "= now"},
    {"field": "contact.created_at", "operator": "recurs_on", "value": "= now"},
    {"field": "contact.owner.manager.email", "operator": "equals", "value": "max@acme.example"},
])  # fmt: skip
def test_common_rules_are_one_question_to_the_database(db: None, where: Any) -> None:
    assert rule_of(where).contacts(1, now=NOON) is not None


def test_what_has_no_place_in_a_rule_is_told() -> None:
    def told(where: Any) -> str:
        return " ".join(problems(where))

    assert "at least one line" in told(None)
    assert "unknown name 'contakt'" in told({"field": "contakt.email", "operator": "is_empty"})
    line = {"all": [{"field": "email", "operator": "is_empty"}]}
    assert told(line) == "all[0].field: unknown name 'email'; did you mean 'contact.email'? (line 1, column 1)"
    assert "no place" in told({"field": "contact.email", "operator": "changed"})
    assert "say which event" in told({"field": "contact.did.visited", "operator": "is_empty"})
    assert not told({"field": 'contact.did["order.paid"].latest', "operator": "within_last", "value": "30d"})
    assert contact_kind().label == "contacts.contact"
