"""Tables of benchmarks in a document: each between two marks of its own, so that one command renews them."""

import re
from pathlib import Path


def write_section(path: Path, name: str, text: str) -> None:
    """Put a table between `<!-- bench: name -->` and `<!-- end -->`; LookupError where a document has no such marks."""
    begin, end = f"<!-- bench: {name} -->", "<!-- end -->"
    block = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    found, count = block.subn(lambda _: f"{begin}\n{text.strip()}\n{end}", path.read_text("utf-8"))
    if not count:
        raise LookupError(f"{path} has no place for the table of {name}: {begin}")
    path.write_text(found, "utf-8")
