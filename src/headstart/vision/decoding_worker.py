"""A process that decodes image files into a store: ``python -m headstart.vision.decoding_worker``.

`headstart.vision.workers` starts it. It reads lines of JSON: first the store and the sizing, then lists of
[index, path]. It writes one line for each list: a list of [index, reason] for the files that cannot be decoded. It
imports neither torch nor polars, so it starts at once.
"""

from __future__ import annotations

import json
import signal
import sys

import numpy as np

from headstart.core.errors import DataError
from headstart.vision.decoding import Sizing, decode
from headstart.vision.marks import mark

__all__ = ["main"]


def main() -> None:
    """Decode until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a user's Ctrl-C ends the parent, and with it this process's input
    setting = json.loads(sys.stdin.readline())
    sizing = Sizing(**setting["sizing"])
    shape = (setting["rows"], sizing.size, sizing.size, 3)
    values = np.memmap(setting["values"], dtype=np.uint8, mode="r+", shape=shape)
    done = np.memmap(setting["done"], dtype=np.uint8, mode="r+", shape=shape[:1])
    for line in sys.stdin:
        decoded: list[int] = []
        failed: list[tuple[int, str]] = []
        for index, path in json.loads(line):
            try:
                values[index] = decode(path, sizing)
                decoded.append(index)
            except DataError as error:
                failed.append((index, str(error)))
        mark(values, done, np.array(decoded, dtype=np.int64), lasting=setting["lasting"])
        sys.stdout.write(json.dumps(failed) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
