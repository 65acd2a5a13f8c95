"""The ways into a pipeline in words: what each waits for, and what has not come for a record that never entered."""

from collections.abc import Sequence

from pipelines.definition.durations import format_duration
from pipelines.engine.ways import INACTIVE
from pipelines.models import Pipeline, Trigger

Kind = Trigger.Kind


def occasion_of(trigger: Trigger) -> str:
    """What would bring a record to this door, such as "when it enters the segment ‘hot’"."""
    match trigger.kind:
        case Kind.CREATED:
            return "as a new record"
        case Kind.UPDATED:
            return f"when its {_fields(trigger)} changes" if trigger.only_fields else "when it changes"
        case Kind.DELETED:
            return "when a record is deleted that leads to it"
        case Kind.EVENT if trigger.event == INACTIVE:
            return f"after {_silence(trigger)} of silence"
        case Kind.EVENT:
            return f"when the event ‘{trigger.event}’ comes"
        case Kind.CRON:
            return "when the schedule comes next"
        case Kind.WEBHOOK:
            return "when something about it is posted to the webhook"
        case Kind.SEGMENT if trigger.segment:
            return f"when it enters the segment ‘{trigger.segment}’"
        case Kind.SEGMENT:
            return "when the segment is looked at next"
        case _:
            return "by hand"


def nothing_came(triggers: Sequence[Trigger]) -> str:
    """Why a record that no door decided about is not in a pipeline: what each open one has not seen."""
    opened = [trigger for trigger in triggers if trigger.enabled]
    if not opened:
        closed = "None of its ways in is switched on, and nobody has put it in."
        return closed if triggers else "Nobody has put it into this pipeline."
    events = list(dict.fromkeys(f"‘{each.event}’" for each in opened if _is_named_event(each)))
    said = [f"No event {' or '.join(events)} has come for it."] if events else []
    said += [_not_yet(trigger) for trigger in opened if not _is_named_event(trigger)]
    return " ".join(dict.fromkeys(said))


def state_of(pipeline: Pipeline) -> str:
    """Whether a pipeline takes anybody in, such as "a draft" or "paused"."""
    return "a draft" if pipeline.status == Pipeline.Status.DRAFT else pipeline.get_status_display().lower()


def _not_yet(trigger: Trigger) -> str:
    match trigger.kind:
        case Kind.CREATED:
            return "It existed before the pipeline took in new records."
        case Kind.UPDATED:
            return f"No change of {f'its {_fields(trigger)}' if trigger.only_fields else 'it'} has been heard of."
        case Kind.DELETED:
            return "No record was deleted that leads to it."
        case Kind.EVENT:
            return f"It has never been silent for {_silence(trigger)}."
        case Kind.CRON:
            return "No schedule has taken it in."
        case Kind.WEBHOOK:
            return "Nothing that was posted to a webhook was about it."
        case Kind.SEGMENT if trigger.segment:
            return f"It has not entered the segment ‘{trigger.segment}’ since the pipeline listens."
        case Kind.SEGMENT:
            return "It was not in the segment when it was looked at."
        case _:
            return "Nobody has put it into this pipeline."


def _is_named_event(trigger: Trigger) -> bool:
    return trigger.kind == Kind.EVENT and trigger.event != INACTIVE


def _fields(trigger: Trigger) -> str:
    return " or ".join(str(name).replace("_", " ") for name in trigger.only_fields or ())


def _silence(trigger: Trigger) -> str:
    return format_duration(trigger.silence or 0)
