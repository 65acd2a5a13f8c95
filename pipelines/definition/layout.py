"""How the steps of a document are named, ordered and connected, defaults filled in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RESERVED_TARGETS = frozenset({"next", "end", "fail"})
LONGEST_KEY = 40
Path = tuple[str | int, ...]
_ALWAYS_KNOWN = frozenset({"subject", "trigger", "vars", "steps", "run", "pipeline", "team", "now"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: its index in its list, its number, its key, and the list it belongs to.

    `at` is the path into the document, such as `("steps", 1, "with", "branches", 0, "steps", 2)`.
    `parent` is the key of the block around it and `branch` the name of the branch, both empty on
    the top level; `scope` names the list.
    """

    index: int
    number: int
    key: str
    step: Mapping[str, Any]
    at: Path = ()
    parent: str | None = None
    branch: str = ""

    @property
    def scope(self) -> str:
        """The name of its list: empty on the top level, `block.branch`, or the key of a loop."""
        return scope_name(self.parent, self.branch)


@dataclass(frozen=True, slots=True)
class Inner:
    """A list of steps inside a block: the branch it belongs to, and where it stands in the step."""

    branch: str
    at: Path
    steps: Sequence[Any]


def scope_name(parent: str | None, branch: str) -> str:
    """The name of the list of steps of a branch or of a loop."""
    if parent is None:
        return ""
    return f"{parent}.{branch}" if branch else parent


def places(document: Mapping[str, Any]) -> list[Place]:
    """The top-level steps in their order; a step without a number follows the one before it."""
    return _scope(document.get("steps"), at=("steps",), parent=None, branch="")


def every_place(document: Mapping[str, Any]) -> list[Place]:
    """All steps, each block followed by the steps inside it."""
    return [place for top in places(document) for place in _with_inside(top)]


def inside(place: Place) -> list[Place]:
    """The steps directly inside a block, branch by branch."""
    return [
        found
        for inner in inner_lists(place.step)
        for found in _scope(inner.steps, at=(*place.at, *inner.at), parent=place.key, branch=inner.branch)
    ]


def inner_lists(step: Mapping[str, Any]) -> list[Inner]:
    """The lists of steps inside a step: one per branch of a parallel, one for a loop."""
    kind, given = step.get("type"), step.get("with")
    if not isinstance(given, Mapping):
        return []
    if kind == "loop":
        return [Inner("", ("with", "steps"), _as_list(given.get("steps")))]
    if kind != "parallel":
        return []
    branches = enumerate(_as_list(given.get("branches")))
    return [
        Inner(str(branch.get("name", "")), ("with", "branches", index, "steps"), _as_list(branch.get("steps")))
        for index, branch in branches
        if isinstance(branch, Mapping)
    ]


def own_parameters(step: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a step without the steps inside it."""
    kind, given = step.get("type"), step.get("with")
    own = dict(given) if isinstance(given, Mapping) else {}
    if kind == "loop":
        own.pop("steps", None)
    if kind == "parallel" and isinstance(own.get("branches"), list | tuple):
        own["branches"] = [_without_steps(branch) for branch in own["branches"]]
    return own


def subject_model(document: Mapping[str, Any]) -> str | None:
    """The model whose records go through the pipeline."""
    subject = document.get("subject")
    model = subject.get("model") if isinstance(subject, Mapping) else subject
    return model if isinstance(model, str) else None


def subject_alias(document: Mapping[str, Any]) -> str | None:
    """The name the document gives to its subject, the name of the model by default."""
    model, subject = subject_model(document), document.get("subject")
    if model is None:
        return None
    alias = subject.get("as") if isinstance(subject, Mapping) else None
    return alias if isinstance(alias, str) else model.rpartition(".")[2]


def subject_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Every name that means the subject."""
    model, alias = subject_model(document), subject_alias(document)
    if model is None or alias is None:
        return frozenset({"subject"})
    return frozenset({"subject", alias, model.rpartition(".")[2]})


def variable_names(document: Mapping[str, Any]) -> frozenset[str]:
    """The names of the declared variables."""
    declared = document.get("variables") or ()
    names = [each.get("name") for each in declared if isinstance(each, Mapping)]
    return frozenset(name for name in names if isinstance(name, str))


def variable_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the variables of a checked document are that nobody has set."""
    return {each["name"]: each.get("default") for each in document.get("variables", ())}


def context_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Every root name that conditions, expressions and templates of the document may use."""
    return _ALWAYS_KNOWN | subject_names(document) | variable_names(document)


def following(steps: Sequence[Place], position: int) -> str:
    """The key of the step after a position, or the end."""
    return steps[position + 1].key if position + 1 < len(steps) else "end"


def _with_inside(place: Place) -> Iterator[Place]:
    yield place
    for inner in inside(place):
        yield from _with_inside(inner)


def _scope(steps: object, *, at: Path, parent: str | None, branch: str) -> list[Place]:
    found = list(_numbered(_as_list(steps), at, parent, branch))
    return sorted(found, key=lambda place: place.number)


def _numbered(steps: Sequence[Any], at: Path, parent: str | None, branch: str) -> Iterator[Place]:
    number = 0
    for index, step in enumerate(steps):
        if not isinstance(step, Mapping):
            continue
        given = step.get("number")
        number = given if isinstance(given, int) and not isinstance(given, bool) else number + 1
        key = step.get("key")
        name = key if isinstance(key, str) else usual_key(number, parent, branch)
        yield Place(index, number, name, step, (*at, index), parent, branch)


def usual_key(number: int, parent: str | None, branch: str) -> str:
    """The key of a step that gives none: `step_1`, inside a block `outreach_email_1`."""
    ending = f"_{number}"
    around = scope_name(parent, branch).replace(".", "_") or "step"
    return around[: LONGEST_KEY - len(ending)] + ending


def _as_list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _without_steps(branch: Any) -> Any:
    if not isinstance(branch, Mapping):
        return branch
    return {name: value for name, value in branch.items() if name != "steps"}
