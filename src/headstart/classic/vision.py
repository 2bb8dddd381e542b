"""The lesson's images: a pretrained backbone, precomputed activations and a head, by `headstart.ImageLearner`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.classic.learner import ClassicLearner, OptimizerFunction, accuracy, common_options
from headstart.core.errors import ConfigError
from headstart.frames.splits import by_indices
from headstart.targets.metrics import Metric
from headstart.vision import ImageData, ImageLearner, side_on, top_down
from headstart.vision.augment import Augment
from headstart.vision.backbone_weights import Weights
from headstart.vision.models.network import Head, concat_pool

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
    """What `tfms_from_model` returns.

    Attributes:
        arch: name of the backbone, which normalises images itself.
        sz: side of the images, in pixels.
        augment: random changes of training images; None: none.
    """

    arch: str
    sz: int
    augment: Augment | None


def tfms_from_model(
    arch: str, sz: int, *, aug_tfms: Augment | None = None, max_zoom: float | None = None
) -> Transforms:
    """Return how images become tensors for a backbone.

    Args:
        arch: name of the architecture.
        sz: side of the images, in pixels.
        aug_tfms: ``transforms_side_on`` or ``transforms_top_down``; None: no augmentation.
        max_zoom: largest factor by which training images are enlarged; None: that of ``aug_tfms``.

    Raises:
        ConfigError: ``max_zoom`` without ``aug_tfms``.
    """
    if max_zoom is not None and aug_tfms is None:
        raise ConfigError("max_zoom is a part of augmentation: give aug_tfms=transforms_side_on as well")
    augment = aug_tfms if aug_tfms is None or max_zoom is None else replace(aug_tfms, zoom=max_zoom)
    return Transforms(arch, sz, augment)


class ImageClassifierData:
    """Images with classes; made by `from_paths` or `from_csv`.

    Args:
        path: folder whose ``models`` gets saved weights.
        data: headstart's data.

    Attributes:
        classes: the classes, in the order of the outputs.
        bs: batch size, in images.
        sz: side of the images, in pixels.
    """

    def __init__(self, path: str | Path, data: ImageData) -> None:
        self.path, self.data = path, data

    @property
    def classes(self) -> list[object]:
        """The classes, in the order of the outputs."""
        return list(self.data.codec.target.classes)

    @property
    def bs(self) -> int:
        """Batch size, in images."""
        return self.data.train.batch_size

    @property
    def sz(self) -> int:
        """Side of the images, in pixels."""
        return self.data.codec.sizing.size

    @classmethod
    def from_paths(cls, path: str | Path, *, tfms: Transforms, bs: int = 64, seed: int = 0) -> ImageClassifierData:
        """Make an `ImageData` of a folder with ``train`` and ``valid``, each with a folder per class.

        Args:
            path: the folder.
            tfms: from `tfms_from_model`.
            bs: batch size, in images.
            seed: seed of the order and of the augmentation.
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
        """Make an `ImageData` of a CSV file with the names of images in its first column, their classes in its second.

        Args:
            path: the folder that holds ``folder``.
            folder: the folder of the images.
            csv_fname: path of the CSV file.
            tfms: from `tfms_from_model`.
            bs: batch size, in images.
            val_idxs: numbers of the validation rows, from 0 on; None: a random fifth.
            suffix: what to append to the names, such as ``.jpg``.
            seed: seed of the order and of the augmentation.
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
        learner: headstart's learner.
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
        """Return an `ImageLearner` whose head sees the backbone's last stage, as the lesson's.

        Args:
            f: name of the architecture.
            data: the images.
            ps: dropout before each linear layer of the head, one number or one per layer; 0 leaves the dropout out;
                None: 0.25, and 0.5 before the last layer.
            xtra_fc: width of each hidden layer of the head; None: one of 512.
            precompute: whether to compute the backbone's activations once, and train the head from them.
            weights: as for `ImageLearner`.
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            seed: seed of the head and of dropout.
        """
        hidden = (512,) if xtra_fc is None else tuple(xtra_fc)
        learner = ImageLearner(
            data.data, backbone=f, weights=weights, precompute=int(precompute), stages=1, fixed_norms=False,
            hidden=hidden, dropout=[0.25] * len(hidden) + [0.5] if ps is None else ps, linear=False,
            **common_options(data.path, opt_fn, seed),
        )  # fmt: skip
        return cls(learner)

    @property
    def model(self) -> nn.Sequential:
        """The layers that train: the head with ``precompute``, else backbone and head; and a log-softmax at the end.

        They are the layers of headstart's model. The log-softmax is added: the cross-entropy is the same with it.
        """
        head = self.learner.model.head
        assert isinstance(head, Head)
        layers = [*head.layers, nn.LogSoftmax(dim=1)]
        if self.precompute:
            return nn.Sequential(*layers)
        return nn.Sequential(self.learner.model.backbone, ConcatPool(), *layers)

    @property
    def precompute(self) -> bool:
        """Whether the head trains from activations that were computed once. Can be set."""
        return bool(self.learner.copies)

    @precompute.setter
    def precompute(self, precompute: bool) -> None:
        self.learner.precompute(int(precompute))

    def _usual_metrics(self) -> tuple[Metric, ...]:
        target = self.learner.target
        return (self._metric(accuracy),) if target is not None and target.kind == "label" else ()


class ConcatPool(nn.Module):
    """`concat_pool` as a layer."""

    def forward(self, maps: Tensor) -> Tensor:
        """Pool ``(batch, channels, height, width)`` to ``(batch, 2 * channels)``."""
        return concat_pool(maps)
