"""The grammar of expressions: what of Python's syntax is read, and the error that says what is not."""

import ast
import difflib
import warnings
from collections.abc import Collection, Mapping

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
