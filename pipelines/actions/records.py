"""Steps that change records of the team."""

from collections.abc import Sequence

from pipelines.actions.base import Done, Fail, Input, Kind, Outcome, Update
from pipelines.definition.program import Step
from pipelines.definition.values import ParameterError


class UpdateRecord(Kind):
    """Sets fields of the subject, or of a record that the subject points to."""

    code = "update_record"
    label = "Update record"
    description = "Sets fields of the contact, company or deal that the run is about."
    icon = "edit_note"
    group = "Records"
    requires_subject = True
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["values"],
        "properties": {
            "record": {
                "title": "Record",
                "description": "Empty for the subject; or a related record such as {{ contact.company }}.",
                "x-widget": "template",
            },
            "values": {
                "type": "object",
                "title": "Values",
                "description": "Fields and their new values; names that are no fields become custom values.",
                "x-widget": "fields",
                "minProperties": 1,
            },
        },
    }

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
        except ParameterError as error:
            return Fail(str(error), code="expression")
        record = params.get("record") or visit.subject
        if not isinstance(record, dict) or not record.get("id") or not record.get("model"):
            return Fail("There is no record to update.", code="validation")
        values = params["values"]
        return Done(changes=(Update(record["model"], int(record["id"]), values),), output=values)
