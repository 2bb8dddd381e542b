"""The version, in a module of its own, so that the core can name it without the package's public front."""

__version__ = "0.1.0"
