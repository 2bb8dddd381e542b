"""The lesson's images: a pretrained backbone, precomputed activations and a head, by `headstart.ImageLearner`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.classic.learner import ClassicLearner, OptimizerFunction, accuracy, models_folder, optimizer_factory
from headstart.core.errors import ConfigError
from headstart.frames.splits import by_indices
from headstart.targets.metrics import Metric
from headstart.vision import ImageData, ImageLearner, side_on, top_down
from headstart.vision.augment import Augment
from headstart.vision.backbone_weights import Weights
from headstart.vision.design import ImageOptions
from headstart.vision.models.network import concat_pool

__all__ = [
    "ConvLearner",
    "ImageClassifierData",
    "Transforms",
    "dn121",
    "dn161",
    "dn169",
    "dn201",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "inceptionresnet_2",
    "inceptionv4",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "resnext101_64",
    "tfms_from_model",
    "transforms_side_on",
    "transforms_top_down",
    "vgg16",
    "vgg19",
    "wrn",
]

resnet18, resnet34, resnet50, resnet101, resnet152 = "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"
resnext50, resnext101, resnext101_64 = "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"
dn121, dn161, dn169, dn201 = "densenet121", "densenet161", "densenet169", "densenet201"
vgg16, vgg19, wrn = "vgg16_bn", "vgg19_bn", "wide_resnet50_2"
inceptionv4, inceptionresnet_2 = "inception_v4", "inception_resnet_v2"
efficientnet_lite0, efficientnet_lite1, efficientnet_lite2 = (f"tf_efficientnet_lite{size}" for size in range(3))

transforms_side_on, transforms_top_down = side_on(), top_down()


@dataclass(frozen=True)
class Transforms:
    """What `tfms_from_model` gives.

    Attributes:
        arch: the backbone's name, which knows how to normalise.
        sz: side of the pictures.
        augment: how training pictures are changed; None: not at all.
    """

    arch: str
    sz: int
    augment: Augment | None


def tfms_from_model(
    arch: str, sz: int, *, aug_tfms: Augment | None = None, max_zoom: float | None = None
) -> Transforms:
    """How pictures become tensors for a backbone.

    Args:
        arch: an architecture's name.
        sz: side of the pictures.
        aug_tfms: ``transforms_side_on`` or ``transforms_top_down``; None: no augmentation.
        max_zoom: the largest factor by which training pictures are enlarged.
    """
    if max_zoom is not None and aug_tfms is None:
        raise ConfigError("max_zoom is a part of augmentation: give aug_tfms=transforms_side_on as well")
    augment = aug_tfms if aug_tfms is None or max_zoom is None else replace(aug_tfms, zoom=max_zoom)
    return Transforms(arch, sz, augment)


class ImageClassifierData:
    """Pictures with classes; made by `from_paths` or `from_csv`.

    Args:
        path: folder whose ``models`` gets what is kept.
        data: headstart's.

    Attributes:
        classes: in the order of the outputs.
    """

    def __init__(self, path: str | Path, data: ImageData) -> None:
        self.path, self.data = path, data

    @property
    def classes(self) -> list[object]:
        """In the order of the outputs."""
        return list(self.data.codec.target.classes)

    @property
    def bs(self) -> int:
        """Training rows per step."""
        return self.data.train.batch_size

    @property
    def sz(self) -> int:
        """Side of the pictures."""
        return self.data.codec.sizing.size

    @classmethod
    def from_paths(cls, path: str | Path, *, tfms: Transforms, bs: int = 64, seed: int = 0) -> ImageClassifierData:
        """`ImageData.from_folder` of a folder with ``train`` and ``valid``, a folder per class in each.

        Args:
            path: the folder.
            tfms: from `tfms_from_model`.
            bs: training rows per step.
            seed: of the order and the draws.
        """
        return cls(path, ImageData.from_folder(path, size=tfms.sz, augment=tfms.augment, batch_size=bs, seed=seed))

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        folder: str,
        csv_fname: str | Path,
        *,
        tfms: Transforms,
        bs: int = 64,
        val_idxs: Sequence[int] | NDArray[np.int64] | None = None,
        suffix: str = "",
        seed: int = 0,
    ) -> ImageClassifierData:
        """`ImageData.from_table` of a file whose first column names pictures and whose second their classes.

        Args:
            path: the folder above ``folder``.
            folder: holds the pictures.
            csv_fname: the file.
            tfms: from `tfms_from_model`.
            bs: training rows per step.
            val_idxs: numbers of the validation rows; None: a random fifth.
            suffix: of the pictures' files, such as ``.jpg``, where the names lack it.
            seed: of the order and the draws.
        """
        table = pd.read_csv(csv_fname, dtype={0: str})
        name, label = table.columns[:2]
        table = table.assign(**{name: table[name].astype(str) + suffix})
        data = ImageData.from_table(
            table, name, label, folder=Path(path) / folder, size=tfms.sz, augment=tfms.augment, batch_size=bs,
            split=None if val_idxs is None else by_indices(np.asarray(val_idxs)), seed=seed,
        )  # fmt: skip
        return cls(path, data)


class ConvLearner(ClassicLearner):
    """A backbone with a head; made by `pretrained`.

    Args:
        learner: headstart's.
    """

    learner: ImageLearner

    def __init__(self, learner: ImageLearner) -> None:
        super().__init__(learner)

    @classmethod
    def pretrained(
        cls,
        f: str,
        data: ImageClassifierData,
        *,
        ps: float | Sequence[float] | None = None,
        xtra_fc: Sequence[int] | None = None,
        precompute: bool = False,
        weights: Weights = True,
        opt_fn: OptimizerFunction | None = None,
        seed: int = 0,
    ) -> ConvLearner:
        """An `ImageLearner`.

        Args:
            f: an architecture's name.
            data: the pictures.
            ps: dropout of the head's layers, one number or one per layer; None: 0.25 and 0.5; 0 leaves a layer out.
            xtra_fc: widths of the head's hidden layers; None: one of 512.
            precompute: compute the backbone's activations once, and train the head from them.
            weights: as for `ImageLearner`.
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            seed: of the head and of dropout.
        """
        options: ImageOptions = {
            "backbone": f, "stages": 1, "fixed_norms": False, "dropout": ps, "seed": seed,
            "hidden": [512] if xtra_fc is None else xtra_fc, "folder": models_folder(data.path), "progress": "none",
        }  # fmt: skip
        if opt_fn is not None:
            options["optimizer"] = optimizer_factory(opt_fn)
        learner = ImageLearner(data.data, weights=weights, precompute=precompute, **options)
        return cls(learner)

    @property
    def model(self) -> nn.Sequential:
        """The layers that are trained: with ``precompute`` the head; a logarithm of the softmax ends them.

        They are the learner's own layers, whose cross-entropy the added one leaves as it is.
        """
        head = [*self.learner.model.head.layers, nn.LogSoftmax(dim=1)]
        if self.precompute:
            return nn.Sequential(*head)
        return nn.Sequential(self.learner.model.backbone, ConcatPool(), *head)

    @property
    def precompute(self) -> bool:
        """Whether the head trains from activations that are computed once; can be set."""
        return bool(self.learner.copies)

    @precompute.setter
    def precompute(self, wanted: bool) -> None:
        self.learner.precompute(int(wanted))

    def _usual_metrics(self) -> tuple[Metric, ...]:
        target = self.learner.target
        return (self._metric(accuracy),) if target is not None and target.kind == "label" else ()


class ConcatPool(nn.Module):
    """`concat_pool` as a layer that can be shown."""

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to ``(batch, 2 * channels)``."""
        return concat_pool(maps)
