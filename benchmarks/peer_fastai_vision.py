"""fastai v2's side on images, run by the interpreter of ``.venv-bench``: a frozen epoch.

As a user would write it: `ImageDataLoaders.from_folder`, `vision_learner` with timm's backbone, frozen, one epoch, with
fastai's usual changes left out (resized to 224 and nothing else), decoding in this process. ``default`` trains the
batch norms of the frozen body, as fastai does if nothing is said; ``frozen`` does not. Freed memory is kept, as it is
by headstart, and the optimizer is torch's fused AdamW.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

import torch

library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's
for signature in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
):
    library.define(signature)  # type: ignore[no-untyped-call]  # see headstart.core.torchvision

from fastai.vision.all import Callback, ImageDataLoaders, OptimWrapper, Resize, vision_learner  # noqa: E402

from benchmarks.protocol import keep_freed_memory, serve  # noqa: E402


class Clock(Callback):  # type: ignore[misc]  # fastai is untyped
    """Times an epoch's training."""

    def before_train(self) -> None:
        """Starts."""
        self.start, self.wall = time.process_time(), time.perf_counter()

    def after_train(self) -> None:
        """Stops."""
        self.seconds, self.wall_seconds = time.process_time() - self.start, time.perf_counter() - self.wall


def main() -> None:
    what, folder = sys.argv[1], sys.argv[2]
    keep_freed_memory()
    torch.manual_seed(0)
    loaders = ImageDataLoaders.from_folder(folder, valid_pct=0.02, seed=0, item_tfms=Resize(224), bs=64, num_workers=0)
    learn = vision_learner(
        loaders, "tf_efficientnet_lite0", pretrained=False, train_bn=what == "default",
        opt_func=functools.partial(OptimWrapper, opt=torch.optim.AdamW, fused=True),
    )  # fmt: skip
    learn.freeze()

    def measure() -> dict[str, Any]:
        clock = Clock()
        learn.fit(1, 1e-3, cbs=[clock])
        return {"seconds": clock.seconds, "wall_seconds": clock.wall_seconds}

    with learn.no_bar(), learn.no_logging():
        serve(measure, {"rows": 64 * len(loaders.train)})


if __name__ == "__main__":
    main()
