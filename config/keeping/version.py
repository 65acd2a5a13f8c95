"""Which code this is, for who looks for the same later."""

import subprocess
import tomllib

from django.conf import settings


def version() -> str:
    """The version of the project, with the commit where the code lies in a clone."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text("utf-8"))["project"]
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - as the PATH has it
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return str(project["version"])
    commit = asked.stdout.strip()
    return f"{project['version']}+{commit}" if commit else str(project["version"])
