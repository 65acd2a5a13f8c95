"""The archive that is handed out: the data for programs, and a page for people."""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import escape

from contacts.handing_out.reading import HandedOut, json_pieces

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;border-top:1px solid #ccc;padding:.6rem 0}"
    "dt{color:#555}dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}"
)


def write_archive(found: HandedOut, path: Path) -> None:
    """A zip with `person.json` and `person.html`, for its owner's eyes; raises FileExistsError, OSError.

    What is not whole is removed again.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            pack(found, file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def pack(found: HandedOut, file: IO[bytes]) -> None:
    """Write the archive into an open file; the page is made of the rows as they go into the data."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as page,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        with archive.open("person.json", "w", force_zip64=True) as data:
            for piece in json_pieces(_Shown(found, page)):
                data.write(piece.encode())
        page.write("</body></html>\n")
        page.seek(0)
        with archive.open("person.html", "w", force_zip64=True) as shown:
            while text := page.read(1 << 20):
                shown.write(text.encode())


class _Shown(HandedOut):
    """Draws each row on the page when it is read, so that every table is read once."""

    def __init__(self, found: HandedOut, page: IO[str]) -> None:
        self.contact, self.at, self.holdings = found.contact, found.at, found.holdings
        self.tags, self.namesakes, self.mentions = found.tags, found.namesakes, found.mentions
        self.counts, self.progress = found.counts, found.progress
        self._page = page
        title = escape(f"What {found.contact.team.name} holds of {found.contact}")
        page.write(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>')
        page.write(f"<body><h1>{title}</h1><p>{found.at:%Y-%m-%d %H:%M} UTC</p>\n")

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        self._page.write(f"<h2>{escape(name.replace('_', ' ').capitalize())}</h2>\n")
        for row in super().rows(name):
            facts = [(key, value) for key, value in row.items() if value not in (None, "", [], {})]
            lines = (f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_text(value))}</dd>" for key, value in facts)
            self._page.write(f"<dl>{''.join(lines)}</dl>\n")
            yield row


def _text(value: Any) -> str:
    return (
        json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    )
