"""Pages as a browser reads them: what a form would send if nothing were changed, and the text one sees."""

import re
from html.parser import HTMLParser
from typing import Any

PIPELINE = "/admin/pipelines/pipeline/"
RUN = "/admin/pipelines/pipelinerun/"


class _FormReader(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id, self.values = form_id, {}
        self._inside = False
        self._area: str | None = None
        self._select: str | None = None

    values: dict[str, str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("id") == self.form_id
        name = given.get("name")
        if not self._inside:
            return
        if tag == "input" and name and given.get("type") not in ("submit", "button", "file"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self.values[name] = given.get("value") or ("on" if given.get("type") == "checkbox" else "")
        elif tag == "textarea" and name:
            self._area, self.values[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.values):
            # Without a chosen option a browser sends the first.
            self.values[self._select] = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # A browser drops the line break that directly follows the opening tag.
            if self._area:
                self.values[self._area] = self.values[self._area].removeprefix("\n")
            self._area = None
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self._inside = False


def form_of(response: Any, form_id: str = "pipeline_form") -> dict[str, str]:
    """The fields of a form as they would be sent, and those of rows to add, which have no number yet."""
    reader = _FormReader(form_id)
    reader.feed(response.content.decode())
    return reader.values


def with_step(values: dict[str, str], action: str, **more: str) -> dict[str, str]:
    """The form with one more step at the end, as the page's script adds it."""
    return _with_row(values, "steps", {"action_type": action, "number": str(_total(values, "steps") + 1), **more})


def with_automatic(values: dict[str, str], model_id: int, **more: str) -> dict[str, str]:
    """The form with one more automatic enrollment."""
    return _with_row(values, "triggers", {"model": str(model_id), "enabled": "on", **more})


def text_of(response: Any) -> str:
    """What one reads, without tags and in single spaces."""
    html = re.sub(r"<(script|style|template)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    text = re.sub(r"<[^>]*>", " ", html)
    for code, sign in (("&#x27;", "'"), ("&quot;", '"'), ("&amp;", "&"), ("&gt;", ">"), ("&lt;", "<")):
        text = text.replace(code, sign)
    return re.sub(r"\s+", " ", text)


def _with_row(values: dict[str, str], prefix: str, row: dict[str, str]) -> dict[str, str]:
    total = _total(values, prefix)
    start = f"{prefix}-__prefix__-"
    empty = {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
    return {
        **values,
        f"{prefix}-TOTAL_FORMS": str(total + 1),
        **{f"{prefix}-{total}-{name}": value for name, value in (empty | row).items()},
    }


def _total(values: dict[str, str], prefix: str) -> int:
    return int(values[f"{prefix}-TOTAL_FORMS"])
