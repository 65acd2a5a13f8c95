"""The question before a pipeline is activated: whether those who fit already shall enter, how many, and who."""

from collections.abc import Mapping
from typing import Any, Final

from pipelines.admin.confirming import Choice, Question
from pipelines.engine.existing import Existing
from pipelines.models import Pipeline, Trigger
from pipelines.operations import preview_existing

EXISTING: Final = "existing"


def activation_of(pipeline: Pipeline) -> Question:
    """The question, with a choice where somebody fits; the default is that nobody enters who was there before."""
    found = preview_existing(pipeline=pipeline)
    asked = [each for each in found if not each.always]
    sentences = ["From now on its triggers enroll new records, and its steps run when they are due."]
    sentences += [f"{_words(each)} at once, by the first look of the trigger." for each in found if each.always]
    total = sum(each.total for each in asked)
    if not total:
        sentences.append("No other record that exists already is enrolled by this." if asked else "")
        return Question("Activate this pipeline?", [text for text in sentences if text], "Activate")
    sentences += [f"{_words(each)} now by “{_name(each.trigger)}”: {_who(each)}." for each in asked if each.total]
    several = sum(1 for each in asked if each.total) > 1
    number = f"{'at least ' if any(each.at_least for each in asked) else ''}{total:,}"
    label = "Enroll all who already match, too" if several else f"Enroll the {number} who already match, too"
    once = " Who fits several triggers enters once." if several else ""
    return Question(
        "Activate this pipeline?",
        sentences,
        "Activate",
        choices=(
            Choice("", "Only new records", "Records that exist already are not enrolled."),
            Choice(EXISTING, label, f"They enter in batches in the next minutes.{once}"),
        ),
    )


def counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}" if count else f"No {one}"


def _words(found: Existing) -> str:
    least = "At least " if found.at_least else ""
    return (
        f"{least}{counted(found.total, 'existing record enters', 'existing records enter')}"
        if found.always
        else (f"{least}{counted(found.total, 'existing record fits', 'existing records fit')}")
    )


def _who(found: Existing) -> str:
    names = ", ".join(_title(record) for record in found.first)
    more = found.total - len(found.first)
    return f"{names} and {more:,} more" if more > 0 else names


def _title(record: Mapping[str, Any]) -> str:
    for name in ("name", "title", "email"):
        if record.get(name):
            return str(record[name])
    return f"number {record['id']}"


def _name(trigger: Trigger) -> str:
    return trigger.key or str(trigger)
