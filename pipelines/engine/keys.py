"""Re-entry in one column: the key that a run holds so that its subject does not enter twice."""

import uuid
from collections.abc import Mapping
from typing import Any

from pipelines.engine.cursor import KEPT_VERSION, SIDE_VERSION

# Fixed for ever: keys of stored runs were made with it.
NAMESPACE = uuid.UUID("2b6f0f39-8a3f-4f63-8f0c-3d0f9a7a6b11")

WHILE_ACTIVE = "while_active"
ONCE = "once"
ALWAYS = "always"
RESTART = "restart"
# Of segments: whoever has finished may enter again after having left the segment.
RELEASED_ON_LEAVING = {"release": "on_leave"}


def dedup_key(
    *, policy: Any, subject_type_id: int | None, subject_id: int | None, event_key: str = "", value: Any = None
) -> uuid.UUID | None:
    """The key of a new run; None when nothing stops another one.

    `while_active` and `restart` keys are freed when the run finishes, `once` and `after` keys stay.
    """
    subject = f"{subject_type_id}:{subject_id}"
    if isinstance(policy, Mapping):
        if "key" in policy:
            return _key(f"value:{value}", kept=policy.get("release") == "never")
        if "after" in policy:
            return _key(f"subject:{subject}", kept=True)
        return _key(f"subject:{subject}", kept=policy == RELEASED_ON_LEAVING)
    if policy == ALWAYS:
        # One occasion may bring many subjects in, each once.
        return _key(f"event:{event_key}:{subject}", kept=True) if event_key else None
    if subject_id is None:
        # Nothing but its occasion tells one run from another.
        return _key(f"event:{event_key}", kept=True) if event_key else None
    return _key(f"subject:{subject}", kept=policy == ONCE)


def subject_keys(subject_type_id: int, subject_id: int) -> tuple[uuid.UUID, uuid.UUID]:
    """The `while_active` key of a subject and its `once` key."""
    freed = _key(f"subject:{subject_type_id}:{subject_id}", kept=False)
    return freed, _kept(freed)


def side_key(*, run_id: int, step_id: int) -> uuid.UUID:
    """The key of the run that does a step for a run which has passed it: there can be only one."""
    return _marked(uuid.uuid5(NAMESPACE, f"aside:{run_id}:{step_id}"), SIDE_VERSION)


def _key(text: str, *, kept: bool) -> uuid.UUID:
    made = uuid.uuid5(NAMESPACE, text)
    return _kept(made) if kept else made


def _kept(made: uuid.UUID) -> uuid.UUID:
    return _marked(made, KEPT_VERSION)


def _marked(made: uuid.UUID, version: int) -> uuid.UUID:
    """The version digit tells a kept key from one that is freed on finish."""
    return uuid.UUID(int=(made.int & ~(0xF << 76)) | (version << 76))
