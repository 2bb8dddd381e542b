"""torchvision imports beside a torch that its compiled part was not made for; each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

MISFIT = (
    "import torch; load = torch.ops.load_library\n"
    "def refuse(path):\n"
    "    if 'torchvision' in str(path): raise OSError('no such library')\n"
    "    return load(path)\n"
    "torch.ops.load_library = refuse\n"
    "from headstart.core.torchvision import import_torchvision\n"
)


def said(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_its_operators_may_be_missing() -> None:
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    code = MISFIT + "print(import_torchvision().__name__, import_torchvision().transforms.Resize(4).size)"
    assert said(code) == "torchvision 4"


def test_other_failures_are_not_hidden() -> None:
    code = (
        "import sys; from headstart.core.torchvision import import_torchvision\n"
        "sys.modules['torchvision'] = None\n"
        "try: import_torchvision()\n"
        "except ImportError as error: print('missing')\n"
        "import importlib\n"
        "def fail(name): raise RuntimeError('something else')\n"
        "importlib.import_module = fail\n"
        "try: import_torchvision()\n"
        "except RuntimeError as error: print(error)"
    )
    assert said(code).split("\n") == ["missing", "something else"]
