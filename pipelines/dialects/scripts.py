"""Conditions written as JavaScript, told in our language of expressions."""

import re
from collections.abc import Callable
from math import prod
from typing import Final

_PARTS = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|'(?:[^'\\]|\\.)*+(?:'|\\?\Z))
      | (?P<now>new\s+Date\s*\(\s*\)|Date\.now\s*\(\s*\))
      | (?P<date>new\s+Date\b)
      | (?P<name>[A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*)*)
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<sign>===|!==|==|!=|<=|>=|&&|\|\||!|.)""",
    re.VERBOSE | re.DOTALL,
)
# Four times what ours may have.
_LONGEST: Final = 8_000
_CALLED = re.compile(r"\s*\(")
_SIGNS: Final = {"===": "==", "!==": "!=", "&&": " and ", "||": " or ", "!": "not "}
_KEPT: Final = frozenset({"and", "or", "not", "in", "if", "else", "True", "False", "None", "now"})
_WORDS: Final = {"true": "true", "false": "false", "null": "null", "undefined": "null"}
_METHODS: Final = {
    "toLowerCase": "lower", "toUpperCase": "upper", "trim": "strip", "startsWith": "startswith", "endsWith": "endswith",
}  # fmt: skip
# A moment and a product of numbers, which are thousandths of a second there.
_PRODUCT = r"\d+(?:\s*\*\s*\d+)*"
_AWAY = re.compile(rf"\bnow\s*([-+])\s*(?:\(\s*({_PRODUCT})\s*\)|({_PRODUCT}))(?![\w.(])")


def expression_of(script: str, *, named: Callable[[str], str]) -> str:
    """The same condition in our language; `named` tells a dotted name in ours. What is far too long stays as it is."""
    if len(script) > _LONGEST:
        return script
    told = [_part(part, named) for part in _PARTS.finditer(script)]
    text = re.sub(r"[ \t\r\n]+", " ", "".join(told)).strip()
    return _AWAY.sub(_span, text)


def _part(part: re.Match[str], named: Callable[[str], str]) -> str:
    kind, text = part.lastgroup, part.group()
    if kind == "now":
        return "now"
    if kind == "date":
        return "date"
    if kind == "sign":
        return _SIGNS.get(text, text)
    if kind != "name" or text in _KEPT:
        return text
    return _WORDS.get(text) or _name(
        text.replace("?.", "."), named, called=bool(_CALLED.match(part.string, part.end()))
    )


def _name(text: str, named: Callable[[str], str], *, called: bool) -> str:
    head, dot, last = text.rpartition(".")
    if called:
        return f"{named(head)}.{_METHODS.get(last, last)}" if dot else _METHODS.get(text, text)
    if dot and last == "length":
        return f"len({named(head)})"
    return named(text)


def _span(found: re.Match[str]) -> str:
    thousandths = prod(int(number) for number in (found[2] or found[3]).split("*"))
    for unit, size in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if thousandths and thousandths % size == 0:
            return f"now {found[1]} {unit}({thousandths // size})"
    seconds, rest = divmod(thousandths, 1000)
    return f"now {found[1]} duration({seconds}{f'.{rest:03}'.rstrip('0') if rest else ''})"
