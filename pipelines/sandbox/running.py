"""Runs one piece of code in a sandboxed process: data in, JSON text out, everything bounded.

Nothing that the code made is ever turned into an object of ours by the sandbox's own conversion: a nested tuple used as
a key keeps that busy for ever, beyond every limit. Results leave as JSON text of bounded length, and only that is read.
"""

import atexit
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.sandbox.confining import launcher

try:
    import pydantic_monty as monty
    from pydantic_monty._binary import find_monty_binary
except ImportError:  # an optional extra: without it everything else works
    monty = None  # type: ignore[assignment]

LONGEST_SOURCE: Final = 20_000
LARGEST_OUTPUT: Final = 256_000
LONGEST_LOG: Final = 20_000
MEMORY: Final = 64_000_000
MOST_SECONDS: Final = 30.0
DEFAULT_SECONDS: Final = 5.0
# Looking a name up that is nowhere asks us; nothing else may.
MOST_QUESTIONS: Final = 20
TOO_LONG: Final = f"The result and what the code prints are longer than {LARGEST_OUTPUT:,} bytes together."
# The interpreter calls streams that are full a lack of memory, and names their limit.
_OUTPUT_OVERFLOWED: Final = f" > {LARGEST_OUTPUT} bytes"
NOT_INSTALLED: Final = "code steps need pydantic-monty: install requirements-code.txt"

_BEFORE: Final = "result = None"
_AFTER: Final = "import json as _json, sys as _sys\n_text = _json.dumps(result)\nprint('\\n' + _text, file=_sys.stderr)"
_SOURCE_NAME: Final = "<python-input-1>"

_pool: Any = None
_owner = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of the code: its result and what it printed, or the error and its line."""

    value: Any = None
    printed: str = ""
    error: str = ""
    line: int | None = None
    # True when the sandbox itself failed and another try may do better.
    passing: bool = False


def installed() -> bool:
    """Whether this installation can run code at all."""
    return monty is not None


def run(source: str, *, context: Mapping[str, Any], now: datetime, seconds: float = DEFAULT_SECONDS) -> Ran:
    """Run code that reads `context` and leaves `result`; never raises. Only for processes of workers."""
    if monty is None:
        return Ran(error=f"{NOT_INSTALLED}.".capitalize())
    if len(source) > LONGEST_SOURCE:
        return Ran(error=f"The code is longer than {LONGEST_SOURCE:,} characters.")
    seconds = min(max(seconds, 0.1), MOST_SECONDS)
    out = monty.CollectStreams(LARGEST_OUTPUT)
    limits = {
        "max_feed_duration_secs": seconds,
        "max_memory": MEMORY,
        "max_recursion_depth": 100,
        "max_suspensions": MOST_QUESTIONS,
    }
    try:
        with _started().checkout(limits=limits, os_policy={"sleep": "zero", "datetime": now}) as session:
            ends = time.monotonic() + seconds + 2
            for part in (_BEFORE, source, _AFTER):
                inputs = {"context": dict(context)} if part is _BEFORE else None
                _feed(session, part, inputs=inputs, out=out, ends=ends)
        return Ran(value=_result(out), printed=_printed(out))
    except monty.MontyError as error:
        return _failed(error, out)
    except (_Refused, ValueError, RecursionError) as error:
        return Ran(error=str(error)[:400] or type(error).__name__, printed=_printed(out))
    except (TimeoutError, OSError, RuntimeError) as error:
        return Ran(error=f"The sandbox failed: {error}"[:400], passing=True)


def close() -> None:
    """End the processes of the sandbox; the next run starts new ones."""
    global _pool
    if _pool is not None and _owner == os.getpid():
        _pool.__exit__(None, None, None)
    _pool = None


class _Refused(Exception):
    """The code asked for something that there is not."""


def _started() -> Any:
    """The pool of this process. It does not survive a fork, so a child of a process that has one is refused."""
    global _pool, _owner
    if _pool is not None and _owner != os.getpid():
        raise RuntimeError("this process was forked from one that already ran code")
    program = launcher(find_monty_binary(None))
    if not os.path.exists(program):
        # Somebody tidied up the folder of temporary files.
        close()
        launcher.cache_clear()
        program = launcher(find_monty_binary(None))
    if _pool is None:
        made = monty.Monty(
            binary_path=program,
            min_processes=1,
            max_processes=2,
            checkout_timeout=10,
            request_timeout=MOST_SECONDS + 5,
            max_checkouts_per_worker=200,
            feed_duration_limit_grace=0.5,
        )
        _pool, _owner = made.__enter__(), os.getpid()
        atexit.register(close)
    return _pool


def _feed(session: Any, part: str, *, inputs: Any, out: Any, ends: float) -> None:
    """One part of the program, until it is over; what it asks for in between is refused."""
    snapshot = session.feed_start(part, inputs=inputs, print_callback=out)
    while not isinstance(snapshot, monty.MontyComplete):
        # The values inside of a snapshot are never looked at.
        if time.monotonic() > ends:
            raise _Refused("The code ran for too long.")
        if isinstance(snapshot, monty.NameLookupSnapshot):
            snapshot = snapshot.resume()
        elif isinstance(snapshot, monty.FunctionSnapshot) and snapshot.is_os_function:
            snapshot = snapshot.resume_not_handled()
        elif isinstance(snapshot, monty.FunctionSnapshot):
            name = str(snapshot.function_name)[:50]
            snapshot = snapshot.resume({"exception": NameError(f"name '{name}' is not defined")})
        else:
            raise _Refused("The code cannot wait for anything: leave out await.")


def _result(out: Any) -> Any:
    text = "".join(text for stream, text in out.output if stream == "stderr").rstrip("\n").rpartition("\n")[2]
    if len(text) > LARGEST_OUTPUT:
        raise _Refused(f"The result is larger than {LARGEST_OUTPUT // 1000} kB.")
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _Refused("The result is not plain data: use texts, numbers, lists and dicts.") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not plain data")


def _printed(out: Any) -> str:
    return "".join(text for stream, text in out.output if stream == "stdout")[:LONGEST_LOG]


def _failed(error: Any, out: Any) -> Ran:
    """An error of the code with the line it stands in; a sandbox that broke may do better next time."""
    message = error.display("type-msg") if hasattr(error, "display") else str(error)
    line = None
    for frame in error.traceback() if hasattr(error, "traceback") else ():
        if frame.filename == _SOURCE_NAME:
            line = frame.line
    broke = isinstance(error, monty.MontyCrashedError | monty.MontyDisconnectError)
    if broke and "timeout" in message:
        return Ran(error="The code ran for too long.", printed=_printed(out))
    if message.startswith("TimeoutError"):
        return Ran(error="The code ran for too long.", line=line, printed=_printed(out))
    if message.endswith(_OUTPUT_OVERFLOWED):
        return Ran(error=TOO_LONG, line=line, printed=_printed(out))
    where = f"Line {line}: " if line else ""
    return Ran(error=f"{where}{message}"[:400], line=line, printed=_printed(out), passing=broke)
