"""The grammar of expressions: what of Python's syntax is read, and the error that says what is not."""

import ast
import difflib
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

LONGEST_SOURCE = 2_000
_MOST_NODES = 250
_LONGEST_MESSAGE = 200
NOT_OFFERED: Mapping[type[ast.AST], str] = {
    ast.Pow: "powers are not offered",
    ast.Lambda: "functions cannot be defined here",
    ast.ListComp: "loops are not offered",
    ast.SetComp: "loops are not offered",
    ast.DictComp: "loops are not offered",
    ast.GeneratorExp: "loops are not offered",
    ast.JoinedStr: "use '+' to join texts",
    ast.NamedExpr: "values cannot be assigned here",
    ast.Starred: "'*' before a value is not offered",
    ast.Dict: "objects cannot be written here",
    ast.Set: "sets cannot be written here",
}


class ExpressionError(Exception):
    """The expression cannot be read, or could not be worked out; says where."""

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.message = message[:_LONGEST_MESSAGE]
        self.line = line
        self.column = column
        place = f" (line {line}, column {column})" if line and column else ""
        super().__init__(f"{self.message}{place}")


def suggestion(word: str, known: Collection[str]) -> str:
    """A closing clause with the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def lead(source: str) -> tuple[int, int]:
    """The lines and columns before the expression begins, which its own places do not count."""
    blank = source[: len(source) - len(source.lstrip())]
    return blank.count("\n"), len(blank) - blank.rfind("\n") - 1


def place_of(node: ast.expr, lines: Sequence[str], before: tuple[int, int]) -> tuple[int, int]:
    """The line and column of a part; `lines` are those of the stripped source and `before` is its `lead`."""
    text = lines[node.lineno - 1] if node.lineno <= len(lines) else ""
    ahead = text.encode("utf-8", "replace")[: node.col_offset]
    column = len(ahead.decode("utf-8", "replace")) + 1
    return node.lineno + before[0], column + (before[1] if node.lineno == 1 else 0)


def path_of(node: ast.expr) -> list[Any] | None:
    """The root name and fixed keys of a plain path such as `a.b["c"][0]`."""
    keys: list[Any] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute) and not node.attr.startswith("_"):
            keys.append(node.attr)
        elif isinstance(node, ast.Subscript) and type(key := literal(node.slice)) in (str, int):
            keys.append(key)
        else:
            return None
        node = node.value
    return [node.id, *reversed(keys)]


def literal(node: ast.expr) -> object:
    """What is written as it stands: a constant, or a whole number with a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = literal(node.operand)
        return -value if isinstance(value, int) and not isinstance(value, bool) else None
    return node.value if isinstance(node, ast.Constant) else None


def callee_name(node: ast.Call) -> str:
    """The name of the function or method that is called."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else "?"


def _where(source: str, error: SyntaxError) -> tuple[int, int]:
    lines, columns = lead(source)
    text = source.strip()
    line, column = error.lineno or 1, error.offset or 0
    if column < 1:
        # Something is missing at the very end.
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return line + lines, column + (columns if line == 1 else 0)


def parse(source: str) -> ast.expr:
    """The syntax tree of an expression of bounded size."""
    if not isinstance(source, str) or not source.strip():
        raise ExpressionError("the expression is empty")
    if len(source) > LONGEST_SOURCE:
        raise ExpressionError(f"the expression is longer than {LONGEST_SOURCE} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        line, column = _where(source, error)
        raise ExpressionError(f"cannot read the expression: {error.msg}", line=line, column=column) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("cannot read the expression") from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise ExpressionError("the expression has too many parts")
    return tree
