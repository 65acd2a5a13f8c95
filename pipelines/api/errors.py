"""Refusals of pipelines as problem details."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rest_framework.exceptions import APIException, PermissionDenied

from crm.api.problems import Conflict
from pipelines.definition.document import Problem
from pipelines.engine.enroll import NotEnrollable, Undeclared
from pipelines.operations import InvalidDocument, Refused
from pipelines.operations.code_steps import MayNotWriteCode


class InvalidPipeline(APIException):
    """A document with errors; each is told with its path."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, problems: Sequence[Problem], *, below: str = "", what: str = "The pipeline") -> None:
        errors = [problem for problem in problems if problem.severity == "error"]
        self.errors = [{"path": _under(problem.path, below), "message": problem.message} for problem in errors]
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        super().__init__(f"{what} has {count}.")


def _under(path: str, below: str) -> str:
    """Paths inside one part of a document, such as a trigger, are told from there."""
    return path.removeprefix(below).lstrip(".") if below else path


@contextmanager
def told(*, below: str = "") -> Iterator[None]:
    """Turn refusals into answers: 400 with paths for documents and variables, 403 for code, 409 for all else."""
    try:
        yield
    except InvalidDocument as error:
        raise InvalidPipeline(error.problems, below=below) from None
    except MayNotWriteCode as error:
        raise PermissionDenied(str(error)) from None
    except Undeclared as error:
        given = [Problem(f"variables.{name}", sentence) for name, sentence in error.names.items()]
        raise InvalidPipeline(given, what="The request") from None
    except (Refused, NotEnrollable) as error:
        raise Conflict(str(error)) from None
