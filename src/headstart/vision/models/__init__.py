"""Backbones and heads for images."""
