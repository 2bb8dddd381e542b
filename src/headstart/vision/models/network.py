"""`ImageModel`: a backbone, pooling, and a head of fully connected layers. One file that needs only torch.

**Source:** the head is that of fast.ai's course (version 0.7, ``ConvnetBuilder``): concatenated average and maximum
pooling, then for each hidden layer batch norm, dropout, linear and ReLU, and a last batch norm, dropout and linear. We
differ in two ways. The head may see several stages of the backbone, each pooled in that way: the last stage knows what
the backbone was trained to distinguish, the ones before it know the shapes and textures of any image. And a stage may
be averaged over the cells of a grid, so that the head knows where in the image something is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core.errors import ConfigError

__all__ = ["Head", "ImageModel", "concat_pool", "head_dropouts", "pool_stages", "pooled_width", "stage_grids"]

DROPOUT = 0.5
"""Default dropout before each linear layer of the head."""

LINEAR_SHARE = 2 / 3
"""Share of a linear path in the outputs: it is more often right than the other layers on photos, as often elsewhere."""

MOST_CELLS = 16
"""Largest number of cells along each side of a stage's grid: most stages have no more positions."""


def concat_pool(maps: Tensor, grid: int = 1) -> Tensor:
    """Return the mean and the maximum of each channel, side by side; with a grid also the mean of each of its cells.

    **Shape:** ``(batch, channels, height, width)`` to ``(batch, 2 * channels)``, or with a grid to
    ``(batch, (2 + grid**2) * channels)``. Cells that do not divide the maps evenly share a row or a column.

    >>> concat_pool(torch.zeros(2, 8, 7, 7)).shape
    torch.Size([2, 16])
    >>> concat_pool(torch.zeros(2, 8, 7, 7), grid=4).shape
    torch.Size([2, 144])
    """
    parts = [maps.mean((2, 3)), maps.amax((2, 3))]  # (batch, channels) each
    if grid > 1:
        parts.append(F.adaptive_avg_pool2d(maps, grid).flatten(1))  # (batch, channels * grid**2)
    return torch.cat(parts, 1)


def pool_stages(maps: Sequence[Tensor], grids: Sequence[int] | None = None) -> Tensor:
    """Return each stage's maps pooled by `concat_pool`, side by side.

    **Shape:** for each stage ``(batch, channels, height, width)``, to ``(batch, 2 * channels of all stages)``, or with
    grids to ``(batch, pooled_width(channels, grids))``.

    >>> pool_stages([torch.zeros(2, 4, 14, 14), torch.zeros(2, 8, 7, 7)]).shape
    torch.Size([2, 24])
    >>> pool_stages([torch.zeros(2, 4, 14, 14), torch.zeros(2, 8, 7, 7)], [2, 1]).shape
    torch.Size([2, 40])
    """
    grids = [1] * len(maps) if grids is None else grids
    return torch.cat([concat_pool(stage, grid) for stage, grid in zip(maps, grids, strict=True)], 1)


def pooled_width(channels: Sequence[int], grids: Sequence[int]) -> int:
    """Return the number of activations that `pool_stages` gives per image.

    >>> pooled_width([4, 8], [2, 1])
    40
    """
    cells = (grid**2 if grid > 1 else 0 for grid in grids)
    return sum(count * (2 + more) for count, more in zip(channels, cells, strict=True))


def stage_grids(grid: int | Sequence[int], stages: int) -> list[int]:
    """Return one grid per stage that the head sees.

    Args:
        grid: cells along each side, 1 is no grid: one number for all stages, or one per stage, early ones first.
        stages: number of stages that the head sees.

    Raises:
        ConfigError: not as many numbers as there are stages, or a number out of its range.
    """
    grids = list(grid) if isinstance(grid, Sequence) else [grid] * stages
    for value in grids:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_CELLS:
            raise ConfigError(f"grid must be whole numbers of cells to a side, from 1 to {MOST_CELLS}; got {grid!r}")
    if len(grids) != stages:
        raise ConfigError(
            f"grid has {len(grids)} numbers, but the head sees {stages} stage{'s' if stages > 1 else ''}; give one"
            " number, or one per stage, early ones first"
        )
    return grids


def head_dropouts(dropout: float | Sequence[float] | None, hidden: Sequence[int]) -> list[float]:
    """Return one probability per linear layer of the head: those of the hidden layers, then the last one's.

    Args:
        dropout: one number for all layers; one per layer; None: 0.5 before each.
        hidden: width of each hidden layer.

    Raises:
        ConfigError: not as many probabilities as there are layers, or a number not from 0 to below 1.
    """
    if dropout is None:
        probabilities = [DROPOUT] * (len(hidden) + 1)
    elif isinstance(dropout, int | float):
        probabilities = [float(dropout)] * (len(hidden) + 1)
    else:
        probabilities = list(dropout)
    if len(probabilities) != len(hidden) + 1:
        raise ConfigError(
            f"dropout has {len(probabilities)} probabilities, but the head has {len(hidden) + 1} layers"
            f" ({len(hidden)} hidden and the last); give one number, or one per layer"
        )
    for value in probabilities:
        if not (isinstance(value, int | float) and 0 <= value < 1):
            raise ConfigError(f"dropout is a probability from 0 to below 1; got {value!r}")
    return probabilities


class Head(nn.Module):
    """Fully connected layers from pooled activations to the outputs.

    **Shape:** ``(batch, features)`` to ``(batch, outputs)``.

    Beside the layers there may be a linear path from the activations to the outputs, which is solved and not trained:
    the outputs are then a weighted mean of both.

    >>> Head(16, 3, hidden=[8])(torch.randn(2, 16)).shape
    torch.Size([2, 3])

    Args:
        features: pooled activations per image, `pooled_width`: without grids twice the channels of all stages.
        outputs: number of outputs.
        hidden: width of each hidden layer; may be empty.
        dropout: as for `head_dropouts`; 0 leaves the layer out.
        linear: whether there is a linear path; it is 0 until `set_linear`.

    Raises:
        ConfigError: an argument is out of its range.
    """

    linear_weight: Tensor | None
    linear_bias: Tensor | None

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        hidden: Sequence[int] = (512,),
        dropout: float | Sequence[float] | None = None,
        linear: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(hidden, str) or not isinstance(hidden, Sequence):
            raise ConfigError(f"hidden must be a list of widths, one per hidden layer; got {hidden!r}")
        for name, values in (("features", [features]), ("outputs", [outputs]), ("hidden", hidden)):
            if any(not isinstance(value, int) or value < 1 for value in values):
                raise ConfigError(f"{name} must be whole numbers of at least 1; got {list(values)}")
        layers: list[nn.Module] = []
        width = features
        widths = [*hidden, outputs]
        for number, (size, probability) in enumerate(zip(widths, head_dropouts(dropout, hidden), strict=True)):
            layers.append(nn.BatchNorm1d(width))
            if probability > 0:
                layers.append(nn.Dropout(probability))
            layer = nn.Linear(width, size)
            nn.init.zeros_(layer.bias)
            layers.append(layer)
            if number < len(hidden):
                nn.init.kaiming_normal_(layer.weight)
                layers.append(nn.ReLU(inplace=True))
            else:
                nn.init.zeros_(layer.weight)  # equal classes: random weights would take long to unlearn
            width = size
        self.layers = nn.Sequential(*layers)
        # Buffers, since an optimizer that has parameters without gradients would decay them.
        self.register_buffer("linear_weight", torch.zeros(outputs, features) if linear else None)
        self.register_buffer("linear_bias", torch.zeros(outputs) if linear else None)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the outputs of pooled activations: those of the layers, or their mean with a linear path's."""
        outputs = self.of_layers(pooled)
        if self.linear_weight is None:
            return outputs
        return torch.lerp(outputs, F.linear(pooled, self.linear_weight, self.linear_bias), LINEAR_SHARE)

    def of_layers(self, pooled: Tensor) -> Tensor:
        """Return the outputs of the layers alone."""
        outputs: Tensor = self.layers(pooled)
        return outputs

    @property
    def has_linear(self) -> bool:
        """Whether there is a linear path, and it has been solved."""
        return self.linear_weight is not None and bool(self.linear_weight.any())

    def set_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Set the linear path: a weight ``(outputs, features)`` and a bias ``(outputs,)``."""
        device = next(self.parameters()).device
        self.linear_weight, self.linear_bias = weight.to(device), bias.to(device)


class ImageModel(nn.Module):
    """A backbone and a head.

    **Shape:** images, uint8 or float from 0 to 1, ``(batch, 3, height, width)``, or precomputed activations, float
    ``(batch, features)``, to ``(batch, outputs)``. Activations go to the head at once, so while the backbone is frozen
    the model trains from either. From activations, which a linear path was solved for, the head's other layers train by
    themselves; from images the whole head does, so that a backbone that is fine-tuned suits both.

    Args:
        backbone: ``maps(images)`` returns a list of feature maps ``(batch, channels, height, width)``, one for each
            stage that the head sees, the last one last; ``groups()`` lists its early and its late modules and
            parameters.
        head: from pooled activations to outputs.
        grids: how each stage is pooled, see `pool_stages`; None: without grids.
    """

    def __init__(self, backbone: nn.Module, head: Head, grids: Sequence[int] | None = None) -> None:
        super().__init__()
        self.backbone, self.head, self.grids = backbone, head, None if grids is None else tuple(grids)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the parameter groups: early backbone, late backbone, head."""
        early, late = self.backbone.groups()  # type: ignore[operator]  # a method; torch takes attributes for modules
        return [early, late, [self.head]]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps, ``(batch, channels, height, width)`` for each stage."""
        maps: list[Tensor] = self.backbone.maps(images)  # type: ignore[operator]  # as above
        return maps

    def activations(self, images: Tensor) -> Tensor:
        """Return what can be computed once while the backbone is frozen: ``(batch, features)``."""
        return self.pool(self.maps(images))

    def pool(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the activations ``(batch, features)`` of feature maps."""
        return pool_stages(maps, self.grids)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of images, or of their activations."""
        if inputs.ndim == 2 and self.training:
            return self.head.of_layers(inputs)
        activations = inputs if inputs.ndim == 2 else self.activations(inputs)  # (batch, features)
        outputs: Tensor = self.head(activations)
        return outputs
