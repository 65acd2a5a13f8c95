"""What stored templates read is held to what the pipelines that send them bring, at publish and when they are saved."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import FieldDefinition
from crm.models import Member, MessageTemplate, Role, Team
from crm.template_checks import template_warnings
from pipelines.definition.document import Problem
from pipelines.operations import import_document
from pipelines.operations.checking import validate_document
from tests.api import Api
from tests.pipelines.engine.building import active, document, email

pytestmark = pytest.mark.django_db
SEND: dict[str, Any] = {"key": "hello", "type": "send_email", "with": {"template": "welcome"}}


@pytest.fixture
def team() -> Team:
    return Team.objects.create(name="Acme", slug="acme")


def template(team: Team, text: str, **more: Any) -> MessageTemplate:
    given = {"subject": "Hi", "topic": "news", **more}
    return MessageTemplate.objects.create(team=team, key="welcome", name="Welcome", text=text, **given)


def told(team: Team, *steps: dict[str, Any], **more: Any) -> list[Problem]:
    """What is said of the templates of a document."""
    problems = validate_document(document(list(steps), **more), team)
    return [each for each in problems if ".template.welcome" in each.path]


READS = [
    ("{{ first_name }}", "reads first_name, which this pipeline does not bring; did you mean 'contact.first_name'?"),
    (
        "\n{{ contact.frist_name }}",
        "contact has no field 'frist_name' unless you added one; did you mean 'first_name'?",
    ),
    ("{{ vars.cod }}", "there is no variable 'cod'; did you mean 'code'?"),
    ("{{ steps.lokup.count }}", "there is no step 'lokup'; did you mean 'lookup'?"),
    ("{{ deal.amount }}", "reads deal, which this pipeline does not bring"),
    ("{% if contact.created_at > 'soon' %}x{% endif %}", "this always fails"),
    ("{{ contact.company.nme }}", "contact has no field 'nme' unless you added one; did you mean 'name'?"),
]
VARIABLES = [{"name": "code", "type": "string", "default": "x"}]
FIND = {"key": "lookup", "type": "find_records", "with": {"model": "contacts.deal"}}


@pytest.mark.parametrize(("text", "sentence"), READS, ids=[text.strip() for text, _ in READS])
def test_publishing_warns_of_what_a_stored_template_reads_in_vain(team: Team, text: str, sentence: str) -> None:
    template(team, text)
    (problem,) = told(team, FIND, SEND, variables=VARIABLES)
    assert (problem.path, problem.severity) == ("steps[1].with.template.welcome.text", "warning")
    assert sentence in problem.message and f"(line {2 if text[0] == chr(10) else 1}, column " in problem.message


def test_what_a_pipeline_brings_is_not_complained_about(team: Team) -> None:
    template(
        team,
        "{{ contact.first_name }} {{ subject.email }} {{ code }} {{ vars.code }} {{ steps.lookup.count }} {{ total }} "
        "{{ trigger.order.id }} {{ team.name }} {{ now | date: '%Y' }} {{ run.id }} {{ unsubscribe_url }} {{ item.a }} "
        "{% assign word = 'x' %}{{ word }}{% for row in steps.lookup.records %}{{ row.title }}{% endfor %}",
        html="<p>{{ contact.plan }}</p>",
        subject="{{ index }}",
    )
    send = {**SEND, "with": {"template": "welcome", "variables": {"total": "{{ trigger.total }}"}}}
    loop = {"type": "loop", "with": {"over": "= [1]", "as": "item", "steps": [send]}}
    assert told(team, FIND, loop, variables=VARIABLES) == []


def test_own_fields_are_known_and_their_types_too(team: Team) -> None:
    FieldDefinition.objects.create(
        team=team, model="contacts.contact", key="plan", label="Plan", type="select", options=["basic", "pro"]
    )
    template(team, "{% if contact.plan == 'prro' %}x{% endif %}{{ contact.plann }}")
    assert [each.message.partition("(")[0] for each in told(team, SEND)] == [
        "contact has no field 'plann', and your team has not defined one; did you mean 'plan'? ",
        "'prro' is none of the values of contact.plan, which are basic, pro: they are never equal ",
    ]


def test_only_the_parts_that_a_step_sends_are_looked_at(team: Team) -> None:
    template(team, "{{ nobody }}", subject="{{ nothing }}", html="{{ nowhere }}")
    text: dict[str, Any] = {"type": "send_sms", "with": {"template": "welcome"}}
    assert {each.path.rpartition(".")[2] for each in told(team, text)} == {"text"}
    push = {"type": "send_push", "with": {"template": "welcome", "body": "Own words"}}
    assert {each.path.rpartition(".")[2] for each in told(team, push)} == {"subject"}
    mail = {"type": "send_email", "with": {"template": "welcome", "subject": "Own"}}
    assert {each.path.rpartition(".")[2] for each in told(team, mail)} == {"text", "html"}


def test_a_template_that_cannot_be_rendered_is_told_for_every_channel(team: Team) -> None:
    template(team, "{% if %}")
    for kind in ("send_email", "send_sms"):
        (problem,) = told(team, {"type": kind, "with": {"template": "welcome"}})
        assert problem.message.startswith("cannot be rendered: ")


def test_whoever_saves_a_template_hears_what_pipelines_that_send_it_do_not_bring(team: Team) -> None:
    row = template(team, "{{ contact.first_name }}")
    active(team, [SEND], key="greeting")
    fork = {"type": "parallel", "with": {"branches": [{"name": "a", "steps": [{**SEND, "key": "inside"}]}]}}
    active(team, [fork], key="forked")
    active(team, [email()], key="other")
    import_document(team=team, document=document([SEND], key="draft"))
    api = Api(team)
    answer = api.patch(f"templates/{row.pk}/", {"text": "{{ frist_name }}"})
    sentence = "reads frist_name, which this pipeline does not bring; did you mean 'contact.first_name'? "
    assert answer.status_code == 200
    assert answer.json()["warnings"] == [
        f"In Forked, step 'inside': text: {sentence}(line 1, column 4)",
        f"In Greeting, step 'hello': text: {sentence}(line 1, column 4)",
    ]
    assert api.get(f"templates/{row.pk}/").json()["warnings"] == answer.json()["warnings"]
    assert "warnings" not in api.get("templates/").json()["results"][0]
    assert api.patch(f"templates/{row.pk}/", {"text": "{{ contact.first_name }}"}).json()["warnings"] == []


def test_the_page_of_a_template_says_so_when_it_is_saved(team: Team, client: Client) -> None:
    row = template(team, "Hello")
    active(team, [SEND])
    maya = User.objects.create_user("maya", "maya@example.org", is_staff=True)
    Member.objects.create(team=team, user=maya, role=Role.ADMIN)
    client.force_login(maya)
    values = {"name": "Welcome", "key": "welcome", "subject": "Hi", "text": "{{ frist_name }}", "topic": "news"}
    answer = client.post(f"/admin/crm/messagetemplate/{row.pk}/change/", values, follow=True)
    said = [str(each) for each in answer.context["messages"]]
    assert any("step 'hello': text: reads frist_name" in each for each in said), said


def test_saving_asks_as_many_questions_for_twenty_pipelines_as_for_one(
    team: Team, django_assert_max_num_queries: Any
) -> None:
    row = template(team, "{{ frist_name }} {{ contact.plan }}")
    for number in range(20):
        active(team, [SEND], key=f"p{number}")
    with django_assert_max_num_queries(3):
        assert len(template_warnings(row)) == 20


def test_a_document_asks_whether_its_templates_are_there_and_reads_them_once(team: Team) -> None:
    template(team, "{{ frist_name }}", html="<a href='#'>{{ frist_name }}</a>")
    steps = [SEND, {**SEND, "key": "again"}, {"key": "short", "type": "send_sms", "with": {"template": "welcome"}}]
    with CaptureQueriesContext(connection) as asked:
        assert len(told(team, *steps)) == 5
    assert sum(MessageTemplate._meta.db_table in each["sql"] for each in asked) == 2
