"""Why an operation on a pipeline was refused, each with a sentence that says what to do."""

from collections.abc import Sequence

from pipelines.definition.document import Problem


class Refused(Exception):
    """The operation is not possible in the state the pipeline is in."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class PipelineChanged(Refused):
    """Someone else changed the pipeline since it was read."""

    def __init__(self) -> None:
        super().__init__("The pipeline was changed by someone else: load it again and repeat your change.")


class PipelineExists(Refused):
    """The team already has a pipeline with this key."""


class InvalidDocument(Refused):
    """The document has errors; `problems` tells each with its path."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        errors = [problem for problem in problems if problem.severity == "error"]
        count = f"{len(errors)} problem{'' if len(errors) == 1 else 's'}"
        first = f": {errors[0].path or 'document'}: {errors[0].message}" if errors else ""
        super().__init__(f"The pipeline has {count}{first}")
        self.problems = tuple(problems)
        self.errors = tuple(errors)
