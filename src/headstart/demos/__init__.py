"""``headstart demo``: each application's main job on real data, shown step by step."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from rich.console import Console

from headstart.core.errors import ArtifactError, ConfigError, did_you_mean

__all__ = ["DEMOS", "run_demo"]

DEMOS = {
    "tabular": "headstart.demos.tabular",
    "collab": "headstart.demos.collab",
    "text": "headstart.demos.text",
    "vision": "headstart.demos.vision",
}
"""Modules by application, each with a function ``demo(folder, console)``."""


def run_demo(application: str, out: Path) -> None:
    """Run one application's demo.

    Args:
        application: a key of `DEMOS`.
        out: folder for models and plots; each application has a folder of its own in it.

    Raises:
        ConfigError: there is no application of that name.
        ArtifactError: the folder cannot be written.
    """
    if application not in DEMOS:
        raise ConfigError(f"there is no demo {application!r}; {did_you_mean(application, DEMOS)}")
    folder = out / application
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write to {folder} ({error.strerror}); give another folder with --out") from error
    import_module(DEMOS[application]).demo(folder, Console())
