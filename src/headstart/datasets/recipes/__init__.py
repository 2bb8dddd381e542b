"""The data sets that headstart knows by name. To add one, add its recipe.

A recipe's sources are tried in their order: one that is a folder is passed over where the user does not have it. Each
pins what it fetches by SHA-256. Say on which terms the data may be used, and give the citation their authors ask for.
"""

from __future__ import annotations

from headstart.datasets.recipes.images import IMAGES
from headstart.datasets.recipes.ratings import RATINGS
from headstart.datasets.recipes.recipe import Recipe
from headstart.datasets.recipes.tables import TABLES
from headstart.datasets.recipes.text import TEXTS

__all__ = ["RECIPES", "Recipe"]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*TABLES, *RATINGS, *TEXTS, *IMAGES)}
