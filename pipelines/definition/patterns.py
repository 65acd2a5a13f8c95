"""Text patterns matched in time proportional to the text, whatever the pattern.

The standard engine backtracks: a short pattern can keep it busy for years. Here a pattern is
compiled to a small automaton, whose steps are remembered, so no input is slow.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

LONGEST_PATTERN = 200
LONGEST_SUBJECT = 1_000
_MOST_STATES = 600
_MOST_REPEATS = 100
_DEEPEST_GROUP = 20
_MOST_BUILT = 5_000
_MOST_REMEMBERED = 20_000

Test: TypeAlias = Callable[[str], bool]
_SHORTHANDS: dict[str, Test] = {
    "d": str.isdecimal,
    "D": lambda c: not c.isdecimal(),
    "s": str.isspace,
    "S": lambda c: not c.isspace(),
    "w": lambda c: c.isalnum() or c == "_",
    "W": lambda c: not (c.isalnum() or c == "_"),
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


class PatternError(ValueError):
    """The pattern uses something this engine does not offer, or is too large."""


def search(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the text; `(?i)` at the start ignores case."""
    if len(text) > LONGEST_SUBJECT:
        raise PatternError(f"text of more than {LONGEST_SUBJECT} characters cannot be matched")
    return compile_pattern(pattern).search(text)


@lru_cache(maxsize=128)
def compile_pattern(pattern: str) -> "Pattern":
    """Compile a pattern once; raises PatternError with a sentence."""
    if len(pattern) > LONGEST_PATTERN:
        raise PatternError(f"a pattern cannot be longer than {LONGEST_PATTERN} characters")
    folded = pattern.startswith("(?i)")
    reader = _Reader(pattern[4:] if folded else pattern, folded=folded)
    return Pattern(reader.automaton, start=reader.read(), folded=folded)


class _Automaton:
    """States that either test one character, assert a border or fork to other states."""

    def __init__(self) -> None:
        self.tests: list[Test | None] = []
        self.borders: list[str] = []
        self.targets: list[list[int]] = []

    def add(self, test: Test | None, *targets: int, border: str = "") -> int:
        if len(self.tests) >= _MOST_STATES:
            raise PatternError("the pattern is too large")
        self.tests.append(test)
        self.borders.append(border)
        self.targets.append(list(targets))
        return len(self.tests) - 1


class Pattern:
    """A compiled pattern."""

    def __init__(self, automaton: _Automaton, *, start: int, folded: bool) -> None:
        self._automaton = automaton
        self._start = start
        self._folded = folded
        self._remembered = 0
        self._steps: dict[tuple[frozenset[int], str, bool], frozenset[int]] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in the text."""
        text = text.lower() if self._folded else text
        last = len(text)
        states = self._closure({self._start}, at_start=True, at_end=last == 0)
        for index, character in enumerate(text, start=1):
            if _ACCEPT in states:
                return True
            states = self._step(states, character, at_end=index == last)
        return _ACCEPT in states

    def _step(self, states: frozenset[int], character: str, *, at_end: bool) -> frozenset[int]:
        key = (states, character, at_end)
        found = self._steps.get(key)
        if found is None:
            moved = {*self._moved(states, character), self._start}
            found = self._closure(moved, at_start=False, at_end=at_end)
            self._remember(key, found)
        return found

    def _remember(self, key: tuple[frozenset[int], str, bool], found: frozenset[int]) -> None:
        """Keep a step for the next text, within a bound on memory rather than on entries."""
        self._remembered += len(found) + len(key[0])
        if self._remembered > _MOST_REMEMBERED:
            self._steps.clear()
            self._remembered = len(found) + len(key[0])
        self._steps[key] = found

    def _moved(self, states: frozenset[int], character: str) -> set[int]:
        tests, targets = self._automaton.tests, self._automaton.targets
        return {
            targets[state][0]
            for state in states
            if state != _ACCEPT and (test := tests[state]) is not None and test(character)
        }

    def _closure(self, states: set[int], *, at_start: bool, at_end: bool) -> frozenset[int]:
        held = {"": True, "^": at_start, "$": at_end}
        found: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in found:
                continue
            found.add(state)
            if self._is_passed_freely(state, held):
                waiting.extend(self._automaton.targets[state])
        return frozenset(found)

    def _is_passed_freely(self, state: int, held: dict[str, bool]) -> bool:
        automaton = self._automaton
        return state != _ACCEPT and automaton.tests[state] is None and held[automaton.borders[state]]


_ACCEPT = -1
_Build: TypeAlias = Callable[[int], int]


class _Reader:
    """Recursive descent over the pattern; each part is built backward from what follows it."""

    def __init__(self, pattern: str, *, folded: bool) -> None:
        self.automaton = _Automaton()
        self._pattern = pattern
        self._folded = folded
        self._at = 0
        self._depth = 0
        self._work = 0

    def read(self) -> int:
        build = self._choice()
        if self._at < len(self._pattern):
            raise PatternError("the pattern has a ')' too many")
        return build(_ACCEPT)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise PatternError("the pattern ends too early")
        self._at += 1
        return character

    def _choice(self) -> _Build:
        options = [self._sequence()]
        while self._peek() == "|":
            self._take()
            options.append(self._sequence())
        if len(options) == 1:
            return options[0]
        return lambda after: self.automaton.add(None, *[option(after) for option in options])

    def _sequence(self) -> _Build:
        parts: list[_Build] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._single()))

        def build(after: int) -> int:
            for part in reversed(parts):
                after = part(after)
            return after

        return build

    def _repeated(self, part: _Build) -> _Build:
        low, high = self._bounds()
        if (low, high) == (1, 1):
            return part
        if self._peek() == "?":
            self._take()
        if self._peek() in ("*", "+", "?", "{"):
            raise PatternError("a repetition cannot be repeated: put it in a group")
        return lambda after: self._unrolled(part, after, low=low, high=high)

    def _unrolled(self, part: _Build, after: int, *, low: int, high: int | None) -> int:
        if high is None:
            loop = self.automaton.add(None, after)
            self.automaton.targets[loop].append(part(loop))
            after = loop
        else:
            for _ in range(high - low):
                after = self.automaton.add(None, self._built(part, after), after)
        for _ in range(low):
            after = self._built(part, after)
        return after

    def _built(self, part: _Build, after: int) -> int:
        self._work += 1
        if self._work > _MOST_BUILT:
            raise PatternError("the pattern is too large")
        return part(after)

    def _bounds(self) -> tuple[int, int | None]:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if (mark := self._peek()) in simple:
            self._take()
            return simple[mark]
        if mark != "{":
            return 1, 1
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at + 1 : max(end, self._at)].partition(",")
        if not low.isdecimal() or (high and not high.isdecimal()) or len(low + high) > 6:
            raise PatternError("write a repetition as {2}, {2,} or {2,5}, or escape the brace")
        self._at = end + 1
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise PatternError(f"a repetition counts from 0 up to {_MOST_REPEATS}")
        return least, most

    def _single(self) -> _Build:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return self._testing(self._set())
        if character == ".":
            return self._testing(lambda c: c != "\n")
        if character in "^$":
            return lambda after: self.automaton.add(None, after, border=character)
        if character == "\\":
            return self._testing(self._escape())
        if character in "*+?{":
            raise PatternError(f"'{character}' has nothing before it to repeat")
        return self._testing(self._literal(character))

    def _group(self) -> _Build:
        self._depth += 1
        if self._depth > _DEEPEST_GROUP:
            raise PatternError("the pattern is nested too deeply")
        if self._peek() == "?":
            self._take()
            if self._take() != ":":
                raise PatternError("look-around and named groups are not offered")
        build = self._choice()
        if self._peek() != ")":
            raise PatternError("a '(' is not closed")
        self._take()
        self._depth -= 1
        return build

    def _testing(self, test: Test) -> _Build:
        return lambda after: self.automaton.add(test, after)

    def _literal(self, character: str) -> Test:
        wanted = character.lower() if self._folded else character
        return lambda c: c == wanted

    def _escape(self) -> Test:
        character = self._take()
        if character in _SHORTHANDS:
            return _SHORTHANDS[character]
        if character in _CONTROLS:
            return self._literal(_CONTROLS[character])
        if character.isalnum():
            raise PatternError(f"'\\{character}' is not offered in patterns")
        return self._literal(character)

    def _set(self) -> Test:
        negated = self._peek() == "^"
        if negated:
            self._take()
        tests: list[Test] = []
        while self._peek() != "]" or not tests:
            tests.append(self._set_item())
        self._take()
        if negated:
            return lambda c: not any(test(c) for test in tests)
        return lambda c: any(test(c) for test in tests)

    def _set_item(self) -> Test:
        character = self._take()
        if character == "\\":
            return self._escape()
        if self._peek() != "-" or self._pattern[self._at + 1 : self._at + 2] in ("]", ""):
            return self._literal(character)
        self._take()
        last = self._take()
        if last == "\\" or last < character:
            raise PatternError("write a range as a-z")
        low, high = character, last
        if not self._folded:
            return lambda c: low <= c <= high
        return lambda c: low <= c <= high or low <= c.upper() <= high
