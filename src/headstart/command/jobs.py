"""What ``headstart train`` does beyond `Job` where an application has ways of its own."""

from __future__ import annotations

from headstart.applications import APPLICATIONS
from headstart.command.train import Job

__all__ = ["job_of"]

JOBS: dict[str, type[Job]] = {}
"""By application; the others train by `Job` itself."""


def job_of(name: str) -> Job:
    """Return what ``headstart train NAME`` does."""
    return JOBS.get(name, Job)(APPLICATIONS[name])
