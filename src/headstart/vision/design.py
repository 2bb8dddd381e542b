"""`ImageDesign` and `ImageTraining`: the network of images, and how it is trained, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from headstart.core.engine import seeded
from headstart.core.values import Range, Value
from headstart.training.settings import LearnerOptions, Training
from headstart.vision.codec import ImageCodec
from headstart.vision.models.backbone import DEFAULT, Backbone
from headstart.vision.models.network import MOST_CELLS, Head, ImageModel, pooled_width, stage_grids

__all__ = ["ImageDesign", "ImageOptions", "ImageTraining"]


@dataclass(frozen=True, kw_only=True)
class ImageDesign(Value):
    """The network of images: a backbone, and a head on the pooled activations of its last stages.

    Attributes:
        backbone: name of the backbone, one of timm's models.
        stages: number of the backbone's last stages that the head sees, each pooled; fewer where it has fewer.
            docs/vision.md tells what each is worth.
        grid: also pool each stage over a GRID x GRID grid, so that the head knows where in the image something is; one
            number, or one per stage, early ones first, such as ``(4, 1, 1)``; 1: off. For images that are all taken
            alike.
        fixed_norms: keep the running statistics of the backbone's batch norms while it is fine-tuned. None: keep those
            of pretrained weights.
        hidden: width of each of the head's hidden layers; may be empty.
        dropout: probability of dropping a unit before each linear layer of the head: one number, or one per layer; 0:
            no dropout. None: 0.5.
        linear: average the outputs of the layers with those of a linear model of precomputed activations, whose
            penalty is chosen on held-out images. None: yes once activations are precomputed.
    """

    backbone: str = DEFAULT
    stages: Annotated[int, Range(low=1)] = 3
    grid: Annotated[int | tuple[int, ...], Range(low=1, high=MOST_CELLS)] = 1
    fixed_norms: bool | None = None
    hidden: Annotated[tuple[int, ...], Range(low=1)] = (512,)
    dropout: Annotated[float | tuple[float, ...] | None, Range(low=0, below=1)] = None
    linear: bool | None = None

    def network(self, codec: ImageCodec, seed: int) -> ImageModel:
        """Return a fresh network for a codec's images and classes.

        Args:
            codec: learnt from the training rows.
            seed: seed of the weights.
        """
        with seeded(seed):
            backbone = Backbone(
                self.backbone, size=codec.sizing.size, stages=self.stages, fixed_norms=bool(self.fixed_norms)
            )
        grids = stage_grids(self.grid, len(backbone.widths))
        with seeded(seed):  # anew: the head's weights do not depend on how many numbers the backbone drew
            head = Head(
                pooled_width(backbone.widths, grids), codec.target.outputs, hidden=self.hidden, dropout=self.dropout,
                linear=bool(self.linear),
            )  # fmt: skip
        return ImageModel(backbone, head, grids)


@dataclass(frozen=True, kw_only=True)
class ImageTraining(Training):
    """Training of a network of images.

    Attributes:
        weight_decay: weight decay of parameters with two or more axes; biases and norms have none.
        label_smoothing: share of each label that the loss spreads evenly over all classes.
    """

    weight_decay: Annotated[float, Range(low=0)] = 0.1
    label_smoothing: Annotated[float, Range(low=0, below=1)] = 0.0


class ImageOptions(LearnerOptions, total=False):
    """Keyword arguments of `ImageLearner`: the fields of its design and its training, and those of every learner."""

    backbone: str
    stages: int
    grid: int | Sequence[int]
    fixed_norms: bool | None
    hidden: Sequence[int]
    dropout: float | Sequence[float] | None
    linear: bool | None
    label_smoothing: float
