"""Where a page of the admin stands: its list, its record and itself, in the words of the sidebar."""

from typing import Any, Final, NamedTuple

from django import template
from django.db.models import Model
from django.template import Context
from django.urls import NoReverseMatch, reverse

from config.navigation import GROUPS

register = template.Library()
NAMES: Final = {label: title for _, entries in GROUPS for label, title, _, query in entries if not query}


class Crumb(NamedTuple):
    """A step of the way to a page; without an address where one stands already."""

    title: str
    link: str = ""


@register.simple_tag(takes_context=True)
def crumbs(context: Context) -> list[Crumb]:
    """The list, the record if there is one, and what is done there; the last one is the page itself."""
    title = str(context.get("title") or "")
    opts = context.get("opts") or getattr(context.get("model_admin"), "opts", None)
    if opts is None:
        return [Crumb(title)] if title else []
    name = NAMES.get(opts.label_lower) or _capital(opts.verbose_name_plural)
    found = [Crumb(name, _link(opts, "changelist"))]
    record = next(
        (row for key in ("original", "object", "pipeline", "target") if isinstance(row := context.get(key), Model)),
        None,
    )
    if record is not None and str(record).lower() != name.lower():
        found.append(Crumb(_title_of(record), _link(record._meta, "change", record.pk)))
    own = _own_title(context, title, opts)
    return [*found, Crumb(own)] if own and own.lower() not in {each.title.lower() for each in found} else found


@register.simple_tag(takes_context=True)
def page_title(context: Context) -> str:
    """The crumbs the other way round, for the tab of the browser."""
    return " · ".join(crumb.title for crumb in reversed(crumbs(context)))


def _own_title(context: Context, title: str, opts: Any) -> str:
    """What a page says of itself beside its list and its record: nothing on lists and forms."""
    if context.get("cl"):
        return ""
    form: Any = context.get("adminform")
    if form is None:
        return "History" if context.get("action_list") is not None else title
    return f"Add {opts.verbose_name}" if context.get("add") and form.model_admin.show_add_link else ""


def _title_of(record: Model) -> str:
    """Addresses and keys stay as they are written."""
    said = str(record)
    return said if "." in said or "_" in said else _capital(said)


def _capital(words: Any) -> str:
    return str(words)[:1].upper() + str(words)[1:]


def _link(opts: Any, page: str, *args: Any) -> str:
    try:
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_{page}", args=args)
    except NoReverseMatch:
        return ""
