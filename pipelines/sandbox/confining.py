"""Starting the sandbox as nobody and without a network, where the system lets this process do so.

The interpreter is the wall; whoever breaks through it is to find a process that may do nothing.
"""

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

NOBODY: Final = 65534
PROBE_SECONDS: Final = 10.0


@cache
def launcher(binary: str) -> str:
    """A program that starts `binary` confined as far as possible; `binary` itself where nothing is possible."""
    for prefix in _prefixes():
        if _works([*prefix, binary, "--version"]):
            return _script([*prefix, binary])
    return binary


def _prefixes() -> list[list[str]]:
    """Ways to give up rights, the strictest first."""
    if sys.platform != "linux":
        return []
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    if os.geteuid() != 0:
        # A user of its own, whom nobody outside knows, may have a network of its own: an empty one.
        return [[unshare, "--user", "--net"]] if unshare else []
    if not setpriv:
        return []
    drop = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all"]  # fmt: skip
    return [[unshare, "--net", *drop], drop] if unshare else [drop]


def _works(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, env={}, capture_output=True, timeout=PROBE_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _script(command: list[str]) -> str:
    """One file that becomes the command, for the pool of the sandbox starts a path without arguments of ours."""
    folder = Path(tempfile.mkdtemp(prefix="crm-sandbox-"))
    folder.chmod(0o755)
    path = folder / "start"
    words = " ".join(shlex.quote(word) for word in [shutil.which("env") or "/usr/bin/env", "-i", *command])
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n', "utf-8")
    path.chmod(0o755)
    atexit.register(_remove, folder, os.getpid())
    return str(path)


def _remove(folder: Path, owner: int) -> None:
    """Forked processes leave it to the one that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
