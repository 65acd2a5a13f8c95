"""Styles of an HTML mail move to where mail programs read them: into the elements themselves."""

from functools import cache

from css_inline import CSSInliner, InlineError


@cache
def _inliner() -> CSSInliner:
    # By default it would read files of this machine and fetch addresses while it writes.
    return CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)


def inline_css(html: str) -> str:
    """The same mail with its `<style>` rules written into `style` attributes; queries such as @media stay.

    HTML without a style sheet, or with one that cannot be read, comes back as it was. Nothing is fetched.
    """
    if "<style" not in html.lower():
        return html
    try:
        return _inliner().inline(html)
    except InlineError:
        return html
