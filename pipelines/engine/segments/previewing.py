"""Who meets a rule, before it is saved: how many, and the first of them."""

from typing import Any, Final

from django.db.models import QuerySet

from contacts.hooks import RulePreview
from contacts.models import Contact
from crm.models import Team
from pipelines.engine.clock import engine_now
from pipelines.engine.segments.rule import PAGE, load, problems, rule_of

# Where each contact must be evaluated, a preview looks at so many.
MOST_LOOKED_AT: Final = 5 * PAGE


class Rules:
    """What `contacts.hooks` offers to forms and to the API."""

    def problems(self, where: Any) -> list[str]:
        return problems(where)

    def preview(self, team: Team, where: Any, limit: int) -> RulePreview:
        """Two statements where the database can be asked; else the newest 10,000 contacts are looked at."""
        now = engine_now()
        rule = rule_of(where)
        asked = rule.contacts(team.pk, now=now)
        if asked is not None:
            return RulePreview(asked.count(), False, _first(asked, limit))
        ids = list(Contact.objects.filter(team=team).order_by("-pk").values_list("pk", flat=True)[: MOST_LOOKED_AT + 1])
        looked_at = ids[:MOST_LOOKED_AT]
        met = [pk for pk, record in load(looked_at, [rule]).items() if rule.meets(record, now=now)]
        first = sorted(met, reverse=True)[:limit]
        return RulePreview(len(met), len(ids) > MOST_LOOKED_AT, _first(Contact.objects.filter(pk__in=first), limit))


def _first(contacts: QuerySet[Contact], limit: int) -> list[Contact]:
    return list(contacts.select_related("company").order_by("-pk")[:limit])
