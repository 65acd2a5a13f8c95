"""How higher apps hear of bulk writes and offer pipelines, without being imported from here.

A higher app registers in its `AppConfig.ready`:

    hooks.after_bulk_create.register(enroll_created)
    hooks.after_bulk_update.register(note_changes)
    hooks.manual_pipelines.register(ManualPipelines())
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from django.contrib.auth.models import User
from django.db.models import Model

from crm.models import Team

H = TypeVar("H", bound=Callable[..., object])


class BulkCreateHook(Protocol):
    """Called inside the transaction that created the rows; answers how many were enrolled."""

    def __call__(self, model: type[Model], ids: Sequence[int], team: Team, /) -> int | None: ...


class BulkUpdateHook(Protocol):
    """Called inside the transaction that changed these fields of these rows.

    `before` has the values from before by id and field, of rows whose values are known.
    """

    def __call__(
        self, model: type[Model], ids: Sequence[int], team: Team, fields: Sequence[str],
        before: Mapping[int, Mapping[str, Any]], /,
    ) -> object: ...  # fmt: skip


# (segment, kind of record, id)
Place = tuple[int, int, int]


class MembershipHook(Protocol):
    """Called inside the transaction in which records entered segments and left others."""

    def __call__(self, entered: Sequence[Place], left: Sequence[Place], /) -> object: ...


class RulePreview(NamedTuple):
    """How many contacts meet a rule, and the first of them; `at_least` says that not all were looked at.

    Warnings are sentences about parts that can never be what their author meant.
    """

    total: int
    at_least: bool
    first: Sequence[Any]
    warnings: Sequence[str] = ()


class SegmentRules(Protocol):
    """What the app that evaluates conditions offers to segments."""

    def problems(self, where: Any) -> Sequence[str]:
        """What is wrong with a rule, as sentences."""

    def preview(self, team: Team, where: Any, limit: int) -> RulePreview:
        """Who meets a rule now; a fixed number of statements."""


class PipelineChoice(NamedTuple):
    """A pipeline that a person may put a record into by hand."""

    key: str
    name: str
    id: int


class ManualPipelines(Protocol):
    """What the app that owns pipelines offers to forms and to the API."""

    def choices(self, team: Team, model: type[Model], record_type: str = "") -> Sequence[tuple[str, str, int]]:
        """Pipelines of the team for this kind of record, of an own type by its key, as (key, name, id)."""

    def current(self, subject: Model) -> Sequence[int]:
        """Ids of the pipelines the record is in now."""

    def sync(self, subject: Model, pipelines: Sequence[int], by: User | None) -> Mapping[int, str]:
        """Put the record into exactly these: add the new, keep the running, remove the rest.

        Answers a sentence for each that it could not be put into.
        """

    def entered(self, team: Team, model: type[Model], ids: Sequence[int]) -> Sequence[tuple[str, str, int]]:
        """Pipelines that these records are in, as (name, key, number of runs)."""

    def enroll(self, team: Team, model: type[Model], pipeline: int, ids: Sequence[int], by: User | None) -> int:
        """Put many records into one pipeline; how many entered."""


class Registry(Generic[H]):
    """Callables in the order they were registered, each once."""

    def __init__(self) -> None:
        self._hooks: list[H] = []

    def register(self, hook: H) -> H:
        if hook not in self._hooks:
            self._hooks.append(hook)
        return hook

    def unregister(self, hook: H) -> None:
        if hook in self._hooks:
            self._hooks.remove(hook)

    def __iter__(self) -> Iterator[H]:
        return iter(tuple(self._hooks))

    def __len__(self) -> int:
        return len(self._hooks)


class ManualPipelinesSlot:
    """Room for the one provider of manual pipelines; empty when no app offers any."""

    def __init__(self) -> None:
        self.provider: ManualPipelines | None = None

    def register(self, provider: ManualPipelines | None) -> None:
        self.provider = provider

    def choices(self, *, team: Team, model: type[Model], record_type: str = "") -> list[PipelineChoice]:
        if self.provider is None:
            return []
        return [PipelineChoice(*choice) for choice in self.provider.choices(team, model, record_type)]

    def current(self, *, subject: Model) -> list[int]:
        return [] if self.provider is None else list(self.provider.current(subject))

    def sync(self, *, subject: Model, pipelines: Sequence[int], by: User | None) -> Mapping[int, str]:
        """Why the record was not put into some of them, by id; the rest is done."""
        return {} if self.provider is None else self.provider.sync(subject, pipelines, by)

    def entered(self, *, team: Team, model: type[Model], ids: Sequence[int]) -> Sequence[tuple[str, str, int]]:
        """Where records are that were just created, as (name, key, number of runs) by name."""
        return [] if self.provider is None or not ids else list(self.provider.entered(team, model, ids))

    def enroll(self, *, team: Team, model: type[Model], pipeline: int, ids: Sequence[int], by: User | None) -> int:
        """Put many records into one pipeline; how many entered."""
        return 0 if self.provider is None else self.provider.enroll(team, model, pipeline, ids, by)


class SegmentRulesSlot:
    """The app that evaluates conditions; without one no segment has a rule."""

    def __init__(self) -> None:
        self.provider: SegmentRules | None = None

    def register(self, provider: SegmentRules | None) -> None:
        self.provider = provider

    def problems(self, *, where: Any) -> list[str]:
        return ["Nothing here evaluates rules."] if self.provider is None else list(self.provider.problems(where))

    def preview(self, *, team: Team, where: Any, limit: int = 10) -> RulePreview:
        return RulePreview(0, False, ()) if self.provider is None else self.provider.preview(team, where, limit)


segment_rules = SegmentRulesSlot()
after_membership: Registry[MembershipHook] = Registry()
after_bulk_create: Registry[BulkCreateHook] = Registry()
# Records that were created on the wish that nothing begins.
after_quiet_create: Registry[BulkCreateHook] = Registry()
after_bulk_update: Registry[BulkUpdateHook] = Registry()
manual_pipelines = ManualPipelinesSlot()
# Called after a commit that left work for the background.
wake_workers: Registry[Callable[[], object]] = Registry()


def announce_created(*, model: type[Model], ids: Sequence[int], team: Team) -> int:
    """Tell every hook about rows created without a signal; answers how many were enrolled."""
    if not ids:
        return 0
    return sum(int(hook(model, ids, team) or 0) for hook in after_bulk_create)


def wake() -> None:
    """Let workers look for work, instead of with their next tick."""
    for hook in wake_workers:
        hook()


def announce_quiet(*, model: type[Model], ids: Sequence[int], team: Team) -> None:
    """Tell every hook about rows created without a signal that are to begin nothing."""
    if ids:
        for hook in after_quiet_create:
            hook(model, ids, team)


def announce_updated(
    *,
    model: type[Model],
    ids: Sequence[int],
    team: Team,
    fields: Sequence[str],
    before: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Tell every hook about rows changed without a signal; `before` has their old values, as `values()` gives them."""
    if not ids or not fields:
        return
    for hook in after_bulk_update:
        hook(model, ids, team, fields, before or {})
