"""How much memory training takes beyond what the encoded rows need. Linux only: the figures come from ``/proc/self``.

What is counted is resident memory (RSS: anonymous pages, and those pages of libraries and files that were touched):

1. *base*: after all imports, before any data.
2. The learner is made from the path of a Parquet table, so that headstart reads, encodes and frees the table itself:
   nobody holds it during training.
3. Polars keeps freed pages for about half a second and more before it hands them back to the kernel, so the process
   now waits until its RSS stands still. (What training would peak at without the wait is *at once* below.)
4. The peak is set back to the current RSS (``/proc/self/clear_refs``; where that is not allowed, a thread looks at the
   RSS every 5 ms from here on), and one epoch is trained by `fit_one_cycle`.

The figures, all above *base*:

- *training*: the peak of step 4. It holds the encoded tensors, the order of the rows, the model, gradients, optimizer
  and activations, the code that training touches for the first time, and all freed memory that nobody handed back.
- *at once*: the larger of that and the RSS at the end of step 2.
- *with encoding*: the peak of all steps, the source table included.

Beside them stands the size of the encoded tensors of the training rows: ids, numbers and target.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.protocol import read_task, serve
from benchmarks.train_headstart import make_learner
from headstart.training.loaders import TensorLoader

SELF = Path("/proc/self")
SECONDS_BETWEEN_LOOKS = 0.005
MOST_SECONDS_TO_SETTLE = 10


class Peak:
    """The largest RSS since this was made, in bytes."""

    def __init__(self) -> None:
        self._seen = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.exact = True
        try:
            (SELF / "clear_refs").write_text("5")
        except OSError:
            self.exact = False
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()

    def read(self) -> int:
        """The peak; the watch is over."""
        if self._thread is None:
            return status("VmHWM")
        self._done.set()
        self._thread.join()
        return self._seen

    def _look(self) -> None:
        while not self._done.wait(SECONDS_BETWEEN_LOOKS):
            self._seen = max(self._seen, status("VmRSS"))


def status(name: str) -> int:
    """A size out of ``/proc/self/status``, in bytes."""
    for line in (SELF / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def settle() -> None:
    """Waits until the RSS has not moved for a second."""
    last = [status("VmRSS")]
    for _ in range(MOST_SECONDS_TO_SETTLE):
        time.sleep(1.0)
        last.append(status("VmRSS"))
        if abs(last[-1] - last[-2]) < 2**20:
            return


def measure(text: str) -> dict[str, Any]:
    """Trains one epoch of a task; sizes in bytes."""
    task = read_task(text)
    gc.collect()
    base, preparing = status("VmRSS"), Peak()
    learner = make_learner(task)
    gc.collect()
    prepared, at_once = preparing.read(), status("VmRSS")
    assert learner.data is not None and isinstance(learner.data.train, TensorLoader)
    tensors = [*learner.data.train.inputs, learner.data.train.target]
    settle()
    settled, training = status("VmRSS"), Peak()
    learner.fit_one_cycle(task.learning_rate, 1)
    trained = training.read()
    return {
        "encoded": sum(tensor.nbytes for tensor in tensors if tensor is not None),
        "base": base,
        "settled": settled - base,
        "training": trained - base,
        "at_once": max(at_once, trained) - base,
        "with_encoding": max(prepared, at_once, trained) - base,
        "exact": training.exact,
    }


def main() -> None:
    torch.zeros(1)  # torch is up before the base is taken
    serve(lambda: measure(sys.argv[1]), {})


if __name__ == "__main__":
    main()
