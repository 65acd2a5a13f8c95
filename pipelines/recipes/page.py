"""The recipes as a page of the documentation: what each is for, its picture, and its timetable in words."""

from collections.abc import Iterator
from itertools import groupby

from pipelines import pictures
from pipelines.recipes.gallery import Recipe, recipes
from pipelines.recipes.listening import told
from pipelines.recipes.reference import steps_page
from pipelines.recipes.telling import timetable

_HEAD = """# Recipes

Pipelines to begin with, in the admin under *Pipelines → Recipes*, in the API at `recipes/`. One click makes a draft
and the templates it needs. Each is played before it is published, and does what is told below it.

This page and its pictures are written by `manage.py pipelines gallery docs`.
"""


def files() -> dict[str, str]:
    """Every file that is written from the product, by its path: recipes with a picture for each, and steps."""
    drawn = {f"recipes/{key}.svg": f"{pictures.as_file(recipe.document)}\n" for key, recipe in recipes().items()}
    return {"recipes.md": "".join(_text()), "steps.md": steps_page(), **drawn}


def _text() -> Iterator[str]:
    yield _HEAD
    for category, found in groupby(recipes().values(), key=lambda recipe: recipe.category):
        yield f"\n## {category}\n"
        for recipe in found:
            yield from _recipe(recipe)


def _needs(recipe: Recipe) -> Iterator[str]:
    if recipe.needs.events or recipe.needs.hints:
        yield "\n*What it needs from you*\n\n"
    for name, does, request in told(recipe.document, recipe.needs.events):
        yield f"- Your systems tell of `{name}`, which {does}: `{request}` to `/api/v1/events/`.\n"
    yield from (f"- {hint}\n" for hint in recipe.needs.hints)


def _recipe(recipe: Recipe) -> Iterator[str]:
    yield f"\n### {recipe.name}\n\n{recipe.summary}\n\n![The steps of {recipe.name}](recipes/{recipe.key}.svg)\n"
    yield from _needs(recipe)
    for story in timetable(recipe):
        yield f"\n*{story.name}*\n\n"
        for line in story.lines:
            yield f"- {line.when}: {line.sentence}\n" if line.when else f"- {line.sentence}\n"
