"""The import contracts of pyproject.toml catch what they are there to catch: forbidden imports, planted in a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PLANTED = {
    "core/batch.py": "from headstart.datasets import sources",
    "core/engine.py": "import polars",
    "frames/door.py": "from headstart.targets import metrics",
    "targets/metrics.py": "from headstart.training import loop",
    "training/loop.py": "from headstart.datasets import recipes",
    "training/schedules.py": "from headstart.training import learner",
    "tabular/models/network.py": "from headstart.training import optim",
    "text/models/awd_lstm.py": "import numpy",
    "vision/models/network.py": "from headstart.core import engine",
    "collab/data.py": "from headstart.tabular import data",
    "datasets/sources.py": "from headstart.core import artefact",
    "training/learner.py": "from headstart import applications",
    "demos/report.py": "from headstart.classic import learner",
    "vision/decoding.py": "import torch",
}
"""Module to forbidden import: each must be reported as its own broken chain."""


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(folder / "src"), "COLUMNS": "200"}, check=False,
    )  # fmt: skip


def test_each_planted_import_is_reported(tmp_path: Path) -> None:  # 8 s: two looks at 200 files
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.parquet"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    clean = checked(tmp_path)
    assert clean.returncode == 0, clean.stdout[-2000:]
    for module, line in PLANTED.items():
        path = tmp_path / "src" / "headstart" / module
        path.write_text(f"{path.read_text()}\n{line}\n")
    (tmp_path / "src" / "headstart" / "core" / "newcomer.py").write_text("")
    found = checked(tmp_path)
    assert found.returncode == 1
    for module, line in PLANTED.items():
        importer = "headstart." + module.removesuffix(".py").replace("/", ".")
        words = line.split()
        imported = words[1] if words[0] == "import" else f"{words[1]}.{words[3]}"
        assert f"{importer} -> {imported}" in found.stdout, (importer, imported)
    assert "newcomer" in found.stdout  # a new module must be given its place
