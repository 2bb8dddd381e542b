"""The recipes of all named data sets. To add a data set, add its recipe.

The sources of a recipe are tried in order; a folder is skipped if the user does not have it. Each source verifies what
it downloads by its SHA-256. A recipe states the terms on which the data may be used, and the citation that their
authors request.
"""

from __future__ import annotations

from headstart.datasets.recipes.images import IMAGES
from headstart.datasets.recipes.ratings import RATINGS
from headstart.datasets.recipes.recipe import Recipe
from headstart.datasets.recipes.tables import TABLES
from headstart.datasets.recipes.text import TEXTS

__all__ = ["RECIPES", "Recipe"]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*TABLES, *RATINGS, *TEXTS, *IMAGES)}
