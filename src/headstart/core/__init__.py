"""Foundations that all applications share: errors, values, batches, the engine and artefacts."""
