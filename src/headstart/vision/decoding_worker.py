"""A process that decodes image files into a store: ``python -m headstart.vision.decoding_worker``.

``workers.py`` starts it. It reads lines of JSON: first where to and how, then lists of [place, path]. It answers each
list with one line: a list of [place, what went wrong] of those that failed. It imports neither torch nor polars, so
that it starts at once.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from headstart.core.errors import DataError
from headstart.vision.decoding import Sizing, decode

__all__ = ["main"]


def main() -> None:
    """Works until its input ends."""
    setting = json.loads(sys.stdin.readline())
    sizing = Sizing(**setting["sizing"])
    shape = (setting["rows"], sizing.size, sizing.size, 3)
    values = np.memmap(setting["values"], dtype=np.uint8, mode="r+", shape=shape)
    done = np.memmap(setting["done"], dtype=np.uint8, mode="r+", shape=shape[:1])
    for line in sys.stdin:
        failed: list[tuple[int, str]] = []
        for place, path in json.loads(line):
            try:
                values[place] = decode(path, sizing)
                done[place] = 1
            except DataError as error:
                failed.append((place, str(error)))
        sys.stdout.write(json.dumps(failed) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
