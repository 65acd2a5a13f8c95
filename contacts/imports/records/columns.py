"""Which column of a file of records fills what: as it is told, else as an export titles it, else by its label."""

from collections.abc import Mapping, Sequence

from contacts.imports.mapping import IGNORED, Column, ColumnMap, MappingProblem
from contacts.imports.records.shape import ID, SYSTEM, Shape
from contacts.imports.refused import COLUMNS


def map_columns(*, shape: Shape, header: Sequence[str], given: Mapping[str, str], key: str) -> ColumnMap:
    """The columns with their targets; `given` (title → target, label or `-`) goes first. Raises MappingProblem."""
    wishes = _wishes(shape, header, given)
    told = {index: wishes[title] for index, title in enumerate(header) if title in wishes}
    report = _report(header) - set(told)
    open_ = [index for index in range(len(header)) if index not in told and index not in report]
    # Exact titles go before labels, wherever they stand, so that an export always comes back as it was.
    exact = [index for index in open_ if header[index] in shape.targets]
    order = [*told, *exact, *(index for index in open_ if index not in set(exact))]
    found: dict[int, Column] = {
        index: Column(index=index, title=header[index], target="", note="tells of refused rows") for index in report
    }
    taken: dict[str, str] = {}
    for index in order:
        target, note = _target(shape, header[index], told.get(index), key)
        if target in taken:
            target, note = "", f"“{taken[target]}” already fills {target}"
        if target:
            taken[target] = header[index]
        found[index] = Column(index=index, title=header[index], target=target, note=note)
    columns = ColumnMap(columns=tuple(found[index] for index in range(len(header))))
    _check(shape, columns, key)
    return columns


def _report(header: Sequence[str]) -> set[int]:
    """What stands before the cells in a file of refused rows, which comes back, perhaps twice, when it was mended."""
    width = 0
    while tuple(header[width : width + 2]) == COLUMNS:
        width += 2
    return set(range(width))


def key_named(shape: Shape, written: str) -> str:
    """By what records are to be recognized, named as people do; raises MappingProblem with what there is."""
    key = shape.named(written)
    if not key or not shape.can_be_key(key):
        known = ", ".join(target for target in shape.targets if shape.can_be_key(target))
        raise MappingProblem(f"Records cannot be recognized by “{written}”: use one of {known}.")
    return key


def _wishes(shape: Shape, header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Targets by title, as a person said them."""
    found: dict[str, str] = {}
    for title, wish in given.items():
        if title not in header:
            raise MappingProblem(f"The file has no column “{title}”; it has {', '.join(header[:20])}.")
        target = "" if wish == IGNORED else shape.named(wish)
        if wish != IGNORED and not target:
            raise MappingProblem(f"“{wish}” is no field: use one of {', '.join(shape.targets)}, or - for nothing.")
        found[title] = target
    return found


def _target(shape: Shape, title: str, wish: str | None, key: str) -> tuple[str, str]:
    target = shape.named(title) if wish is None else wish
    if target == ID and key != ID:
        return "", "rows are recognized by " + key
    if target:
        return target, ""
    if wish is not None:
        return "", "not wanted"
    if title in SYSTEM:
        return "", "filled by the system"
    return "", "unknown column" if title else "has no title"


def _check(shape: Shape, columns: ColumnMap, key: str) -> None:
    targets = {column.target for column in columns.used}
    titles = ", ".join(column.title or "(blank)" for column in columns.columns[:20])
    if key not in targets:
        others = [target for target in shape.targets if target != ID and shape.can_be_key(target)]
        cure = f" Choose another key by which rows are recognized, such as {others[0]}." if others else ""
        raise MappingProblem(f"No column holds the {key}; the first line names {titles}.{cure if key == ID else ''}")
    if targets == {ID}:
        raise MappingProblem(f"No column but the id says anything of a {shape.spoken}; the first line names {titles}.")
