"""The records that pipelines can be about: how they are read in batches and what may be written."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.db.models.expressions import RawSQL

from pipelines import managers
from pipelines.columns import clean

# Records of a team's own types: one table, and a name such as `records.product` for each type.
OWN: Final = "records."
RECORD: Final = "contacts.record"

# Never read into a context and never written by a step.
HIDDEN = frozenset({"team", "tags", "password"})
READ_ONLY = frozenset({"id", "created_at", "updated_at", "custom"}) | HIDDEN
RELATED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "company": ("id", "name", "domain", "phone", "website", "industry"),
    "contact": ("id", "first_name", "last_name", "email", "phone", "lifecycle_stage", "timezone", "language"),
    "owner": managers.FIELDS,
}
RELATED_MODELS: Mapping[str, str] = {"company": "contacts.company", "contact": "contacts.contact", "owner": "auth.user"}


NOBODY = "{}"
# What the name of a record without such a column is made of: that of a person, that of a deal.
_NAMES: Final = (("first_name", "last_name"), ("title",))


def among(ids: Collection[int]) -> Any:
    """Ids as one parameter where the database takes arrays: a thousand parameters cost more than the rows."""
    if connection.vendor != "postgresql":
        return ids
    return unlisted(listed(ids))


def listed(ids: Collection[int]) -> str:
    """Ids as the text of an array, the parameter of `unlisted`."""
    return "{" + ",".join(map(str, ids)) + "}"


def unlisted(ids: str) -> RawSQL:
    """The ids of such a text in SQL, however many they are: one parameter, on every database."""
    if connection.vendor != "postgresql":
        return RawSQL("SELECT value FROM json_each('[' || trim(%s, '{}') || ']')", [ids])
    return RawSQL("SELECT unnest(%s::bigint[])", [ids])


class SubjectType:
    """One model that pipelines can be about."""

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model
        self.label = model._meta.label_lower
        self.name = model._meta.model_name or ""
        concrete = [field for field in model._meta.concrete_fields if field.name not in HIDDEN]
        self.plain = tuple(field.name for field in concrete if not field.is_relation)
        self.relations = tuple(field.name for field in concrete if field.is_relation and field.name in RELATED_FIELDS)
        self._related = frozenset(self.relations)
        # Names of a record's data that are no columns of its table.
        self.derived = frozenset({"model", "name", "custom"}) - {field.name for field in concrete}
        # Values of the same name stand behind these.
        self.hiding = frozenset({"model", "custom", "team_id", *self.plain, *self.relations, *self.derived})
        self.moments = frozenset(field.name for field in concrete if isinstance(field, models.DateTimeField))
        # The columns that the name is made of; none where it is a column itself.
        self._name_parts = _name_parts(self.plain) if "name" in self.derived else ()
        self.name_parts = frozenset(self._name_parts)
        self._columns = (
            "team_id",
            *self.plain,
            *self._joined((*self.relations, managers.MANAGER)),
        )

    # Whether all that a record holds are values: none is a column, and none stands under `custom` a second time.
    keeps_values_alone = False

    @property
    def record_type(self) -> str:
        """The key of the team's own type of record; empty for a model of the product."""
        return ""

    @property
    def content_type_id(self) -> int:
        return ContentType.objects.get_for_model(self.model).pk

    def load(
        self,
        ids: Collection[int],
        *,
        relations: Collection[str] | None = None,
        moments: Collection[str] | None = None,
        fields: Collection[str] | None = None,
    ) -> dict[int, dict[str, Any]]:
        """Plain data of these records by id, in one statement.

        `relations` narrows the joins (`owner.manager` is one of them), `moments` the points in time, which take
        longest to read, and `fields` all other columns; where one of them is none of the table's, the custom fields are
        read, which may hold it.
        """
        wanted = self.relations if relations is None else tuple(name for name in self.relations if name in relations)
        columns = self._columns if relations is None else self._narrow(relations)
        if moments is not None:
            columns = tuple(name for name in columns if name not in self.moments or name in moments)
        if fields is not None:
            columns = self._narrowed(columns, fields)
        found = managers.joined(self.model._default_manager.filter(pk__in=among(ids)), columns)
        rows = found.values_list(*columns)
        return {
            data["id"]: data for data in (self._shape(dict(zip(columns, row, strict=True)), wanted) for row in rows)
        }

    def _narrowed(self, columns: Sequence[str], fields: Collection[str]) -> tuple[str, ...]:
        wanted = {"id", *fields, *(self._name_parts if "name" in fields else ())}
        if wanted - {*self.plain, *self.relations, "model", "name"}:
            wanted.add("custom")
        return tuple(name for name in columns if name in wanted or name not in self.plain)

    def records(self, team_id: int) -> "models.QuerySet[Any]":
        """The records of a team."""
        return self.model._default_manager.filter(team_id=team_id)

    def rows(self, team_id: int) -> "models.QuerySet[Any, Any]":
        """The records of a team as rows of columns, for `shaped`."""
        return managers.joined(self.records(team_id), self._columns).values_list(*self._columns)

    def shaped(self, row: Sequence[Any]) -> dict[str, Any]:
        """The data of one of these rows."""
        return self._shape(dict(zip(self._columns, row, strict=True)), self.relations)

    def _narrow(self, relations: Collection[str]) -> tuple[str, ...]:
        return ("team_id", *self.plain, *self._joined(relations))

    def _joined(self, relations: Collection[str]) -> Iterator[str]:
        for name in self.relations:
            if name in relations:
                yield from (f"{name}__{field}" for field in RELATED_FIELDS[name])
                if name == managers.OWNER and managers.MANAGER in relations:
                    yield from managers.COLUMNS

    def _shape(self, row: dict[str, Any], relations: Sequence[str]) -> dict[str, Any]:
        custom = row.pop("custom", None) or {}
        data: dict[str, Any] = {**custom, "model": self.label}
        for relation in relations:
            part = {field: row.pop(f"{relation}__{field}") for field in RELATED_FIELDS[relation]}
            row[relation] = {**part, "model": RELATED_MODELS[relation]} if part["id"] is not None else None
        managers.placed(row)
        data.update(row)
        self.derive(data)
        data["custom"] = custom
        return data

    def derive(self, data: dict[str, Any]) -> None:
        """Make the name anew from its parts, where all of them were read."""
        if self._name_parts and all(part in data for part in self._name_parts):
            data["name"] = " ".join(data[part] for part in self._name_parts).strip()

    def relates(self, names: Iterable[str]) -> bool:
        """Whether one of these names is a relation."""
        return not self._related.isdisjoint(names)

    def split(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Values for columns (cleaned) and values that go to the custom fields.

        Raises ValueError with a sentence for a value its column refuses.
        """
        try:
            # Whole batches write the same values. Types belong to the key, for 1 equals True.
            given = tuple(values.values())
            return _split(self, tuple(values), given, tuple(map(type, given)))
        except TypeError:
            return self.split_anew(values)

    def split_anew(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same without remembering."""
        columns: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        for name, value in values.items():
            field = self.written(name)
            if field is None:
                custom[name.removeprefix("custom.")] = value
            else:
                columns[name] = clean(field, value)
        return columns, custom

    def written(self, name: str) -> Any:
        """The column that a step writes under a name, None for a custom value; raises ValueError for neither."""
        if name in READ_ONLY or name in self.derived:
            raise ValueError(f"{name} cannot be changed by a pipeline.")
        try:
            field = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            return None
        if field.is_relation and name not in RELATED_FIELDS:
            raise ValueError(f"{name} cannot be changed by a pipeline.")
        return field


def _name_parts(columns: Collection[str]) -> tuple[str, ...]:
    return next((parts for parts in _NAMES if set(parts) <= set(columns)), ())


@lru_cache(maxsize=500)
def _split(
    kind: SubjectType, names: tuple[str, ...], given: tuple[Any, ...], _: tuple[type, ...]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    columns, custom = kind.split_anew(dict(zip(names, given, strict=True)))
    return MappingProxyType(columns), MappingProxyType(custom)


def related(relation: str, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """What records that are related to these hold of them, by id, in one statement."""
    label = RELATED_MODELS[relation]
    rows = apps.get_model(label)._default_manager.filter(pk__in=among(ids)).values(*RELATED_FIELDS[relation])
    return {row["id"]: {**row, "model": label} for row in rows}


class OwnRecords(SubjectType):
    """Records of the types that teams define; of one type when it is named.

    Their data is what the record holds, beside its id and times, and `model` says `records.<type>`.
    """

    keeps_values_alone = True

    def __init__(self, model: type[models.Model], key: str = "") -> None:
        super().__init__(model)
        self._key = key
        self.label = f"{OWN}{key}" if key else self.label
        self.name = key or self.name
        self._columns = ("team_id", "id", "created_at", "updated_at", "values", "type__key")
        self.hiding = frozenset({"team_id", "id", "created_at", "updated_at", "model"})

    @property
    def record_type(self) -> str:
        return self._key

    def records(self, team_id: int) -> "models.QuerySet[Any]":
        found = super().records(team_id)
        return found.filter(type__key=self._key) if self._key else found

    def split_anew(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """All of it is what the record holds; whether it fits the type is looked at before."""
        return {}, dict(values)

    def _narrow(self, relations: Collection[str]) -> tuple[str, ...]:
        return self._columns

    def _narrowed(self, columns: Sequence[str], fields: Collection[str]) -> tuple[str, ...]:
        return tuple(columns)

    def _shape(self, row: dict[str, Any], relations: Sequence[str]) -> dict[str, Any]:
        values, key = row.pop("values") or {}, row.pop("type__key")
        return {**values, **row, "model": f"{OWN}{key}"}


@cache
def subject_types() -> Mapping[str, SubjectType]:
    """Every model that pipelines can be about, by label."""
    return {label: _subject_type(label) for label in settings.PIPELINES_SUBJECTS}


def _subject_type(label: str) -> SubjectType:
    return (OwnRecords if label == RECORD else SubjectType)(apps.get_model(label))


@lru_cache(maxsize=500)
def subject_named(label: str) -> SubjectType | None:
    """What a pipeline says it is about: a model of the product, or `records.<type>`; None when it cannot be.

    Whether the team has the type is another question.
    """
    if label.startswith(OWN) and RECORD in subject_types():
        return OwnRecords(subject_types()[RECORD].model, label.removeprefix(OWN))
    return subject_types().get(label) if label != RECORD else None


def subject_of_record(record: models.Model) -> SubjectType | None:
    """What a pipeline must be about to take this record in; None when none can."""
    label = record._meta.label_lower
    return subject_named(f"{OWN}{record.type.key}" if label == RECORD else label)  # type: ignore[attr-defined]


def subject_label(content_type_id: int, record_type: str = "") -> str:
    """`contacts.contact` or `records.product` of what a row stores."""
    kind = ContentType.objects.get_for_id(content_type_id)
    label = f"{kind.app_label}.{kind.model}"
    return f"{OWN}{record_type}" if record_type and label == RECORD else label


def subject_type(content_type_id: int) -> SubjectType:
    """The subject type of a content type id; KeyError when pipelines cannot be about it."""
    model = ContentType.objects.get_for_id(content_type_id).model_class()
    if model is None:
        raise KeyError(content_type_id)
    return subject_types()[model._meta.label_lower]
