"""What is likely to go wrong with a stored template where it is sent, as far as apps above know."""

from collections.abc import Callable
from typing import Final

from crm.models import MessageTemplate

Check = Callable[[MessageTemplate], list[str]]

_checks: Final[list[Check]] = []


def register_template_check(check: Check) -> None:
    """Let the pages and the API of templates say what an app above knows of them; called when the apps are ready."""
    if check not in _checks:
        _checks.append(check)


def template_warnings(template: MessageTemplate) -> list[str]:
    """Sentences about a template as it is stored; none of them keeps it from being sent."""
    return [said for check in _checks for said in check(template)]
