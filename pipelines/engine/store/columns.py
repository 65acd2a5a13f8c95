"""The columns that new runs are written with, in the order of their statements."""

NEW_RUN = (
    "pipeline",
    "version",
    "subject_type",
    "subject_id",
    "trigger",
    "dedup",
    "status",
    "step",
    "next_step_at",
    "phase",
    "attempt",
    "seq",
    "open_children",
    "wake_at",
    "parent_seq",
    "slot",
    "depth",
    "test",
    "created_at",
)
NEW_CHILD = (*NEW_RUN, "parent", "root", "outcome", "reason", "finished_at")
