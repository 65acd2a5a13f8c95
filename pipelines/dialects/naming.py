"""Names in templates and conditions: whose field, which variable, or something that the event brought along."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipelines.dialects.scripts import expression_of
from pipelines.dialects.words import MODELS, key_of, snake
from pipelines.subjects import subject_types

_PLACEHOLDER = re.compile(r"\{\{(-?)\s*([A-Za-z_]\w*(?:\.\w+)*)\s*")
_FIELDS: Final[Mapping[str, str]] = {"assigned_to": "owner", "assignee": "owner", "phone_number": "phone"}
_ALWAYS: Final = frozenset({"trigger", "steps", "vars", "run", "pipeline", "team", "now", "event", "subject"})
_CONDITIONS: Final = frozenset({"condition", "expression", "field", "if", "code", "source"})
_MOST_STEPS: Final = 1_000
_VARIABLES: Final = frozenset({"variables", "vars"})
_OPPOSITES: Final[Mapping[str, str]] = {
    "not_equals": "equals", "not_contains": "contains", "not_in_list": "in_list", "is_empty": "is_not_empty",
}  # fmt: skip


class Names:
    """What the names of one definition mean: `alias` is its word for the subject, `answers` those of forms."""

    def __init__(self, *, alias: str, variables: Sequence[str], event: bool) -> None:
        self.alias = alias
        self.model = MODELS.get(alias, "")
        self.variables = {snake(name) for name in variables}
        self.keys: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        self.event = event
        self.answers: dict[str, str] = {}

    def add_key(self, step: Mapping[str, Any], number: int) -> str:
        """The key of a step, made of its id; no two are the same. Raises ValueError beyond any sensible number."""
        if len(self.keys) >= _MOST_STEPS:
            raise ValueError("more steps than anybody writes")
        stem = key_of(step.get("id"), otherwise=f"step_{number}")
        key, more = stem, self._taken.get(stem, 1)
        while key in self._taken:
            more += 1
            key = f"{stem[:36]}_{more}"
        self._taken[stem] = more
        self._taken.setdefault(key, 1)
        self.keys[str(step["id"]) if "id" in step else f"without id: {key}"] = key
        return key

    def path(self, dotted: str) -> str:
        """A dotted name in ours."""
        root, _, rest = dotted.partition(".")
        if root in _VARIABLES and rest:
            return self.path(rest)
        if root == self.alias and self.alias:
            return ".".join([root, *(_FIELDS.get(snake(part), snake(part)) for part in rest.split("."))]).rstrip(".")
        if snake(root) in self.variables:
            return snake(root) + (f".{rest}" if rest else "")
        if root in self.answers:
            return self.answers[root] + (f".{rest}" if rest else "")
        if root == "steps" and rest:
            step, dot, output = rest.partition(".")
            return f"steps.{self.keys.get(step, step)}{dot}{output}"
        return dotted if root in _ALWAYS else f"trigger.{dotted}"

    def value(self, value: Any) -> Any:
        """A parameter with the names in its templates told in ours."""
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: f"{{{{{found[1]} {self.path(found[2])} ", value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def condition(self, given: Any) -> Any:
        """A condition: rows of field, operator and value, a list of them, or a script."""
        if isinstance(given, str):
            return expression_of(given, named=self.path)
        if isinstance(given, list):
            rows = [self.condition(row) for row in given]
            return rows[0] if len(rows) == 1 else {"all": rows}
        if isinstance(given, Mapping) and "field" in given:
            return self._row(given)
        if isinstance(given, Mapping):
            return {name: self.condition(part) for name, part in given.items()}
        return given

    def _row(self, row: Mapping[str, Any]) -> Any:
        """A field without a record is one of the subject's columns, else of the event or of the subject."""
        told = {name: self.value(part) if name == "value" else part for name, part in row.items()}
        field = str(row["field"])
        if "." in field or snake(field) in self.variables or field in self.answers:
            return {**told, "field": self.path(field)}
        kind = subject_types().get(self.model)
        own = f"{self.alias}.{_FIELDS.get(snake(field), snake(field))}"
        if kind is not None and (not self.event or snake(field) in {*kind.plain, *kind.relations, *kind.derived}):
            return {**told, "field": own}
        if kind is None or not self.event:
            return {**told, "field": f"trigger.{field}"}
        operator = str(row.get("operator"))
        either = {
            "any": [{**told, "field": name, "operator": _OPPOSITES.get(operator, operator)}
                    for name in (f"trigger.{field}", own)]
        }  # fmt: skip
        return {"not": either} if operator in _OPPOSITES else either


def roots_in(value: Any) -> Iterator[str]:
    """The first parts of the dotted names in all templates and conditions of a definition, in their order."""
    if isinstance(value, str):
        yield from (found[2].split(".")[0] for found in _PLACEHOLDER.finditer(value))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name in _CONDITIONS and isinstance(item, str):
                yield from re.findall(r"\b([A-Za-z_]\w*)\.\w", item)
            yield from roots_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from roots_in(item)
