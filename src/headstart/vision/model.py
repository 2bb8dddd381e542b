"""`ImageModel`: a backbone, pooling, and a head of fully connected layers. One file that needs only torch.

**Source:** the head is that of fast.ai's course (version 0.7, ``ConvnetBuilder``): concatenated average and maximum
pooling, then for each hidden layer batch norm, dropout, linear and ReLU, and a last batch norm, dropout and linear. We
differ in that the head may see several stages of the backbone, each pooled in that way: the last one knows what the
backbone was trained to tell apart, the ones before it what shapes and textures there are in any picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError

__all__ = ["Head", "HeadOnly", "ImageModel", "concat_pool", "head_dropouts", "pool_stages"]

HIDDEN_DROPOUT, LAST_DROPOUT = 0.25, 0.5
"""Of the head's layers, if nothing is said."""


def concat_pool(maps: Tensor) -> Tensor:
    """The mean and the maximum of each channel, side by side.

    **Shape:** ``(batch, channels, height, width)`` to ``(batch, 2 * channels)``.

    >>> concat_pool(torch.zeros(2, 8, 7, 7)).shape
    torch.Size([2, 16])
    """
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


def pool_stages(maps: Sequence[Tensor]) -> Tensor:
    """The mean and the maximum of each channel of each stage's maps, side by side.

    **Shape:** for each stage ``(batch, channels, height, width)``, to ``(batch, 2 * channels of all stages)``.

    >>> pool_stages([torch.zeros(2, 4, 14, 14), torch.zeros(2, 8, 7, 7)]).shape
    torch.Size([2, 24])
    """
    return torch.cat([concat_pool(one) for one in maps], 1)


def head_dropouts(dropout: float | Sequence[float] | None, hidden: Sequence[int]) -> list[float]:
    """One probability per linear layer of the head: those of the hidden layers, then the last one's.

    Args:
        dropout: one number for all layers; one per layer; None: 0.25 before hidden layers and 0.5 before the last.
        hidden: width of each hidden layer.

    Raises:
        ConfigError: not as many as there are layers, or not from 0 to below 1.
    """
    if dropout is None:
        found = [HIDDEN_DROPOUT] * len(hidden) + [LAST_DROPOUT]
    elif isinstance(dropout, int | float):
        found = [float(dropout)] * (len(hidden) + 1)
    else:
        found = list(dropout)
    if len(found) != len(hidden) + 1:
        raise ConfigError(
            f"dropout has {len(found)} probabilities, but the head has {len(hidden) + 1} layers"
            f" ({len(hidden)} hidden and the last); give one number, or one per layer"
        )
    for value in found:
        if not (isinstance(value, int | float) and 0 <= value < 1):
            raise ConfigError(f"dropout is a probability from 0 to below 1; got {value!r}")
    return found


class Head(nn.Module):
    """From pooled activations to the outputs.

    **Shape:** ``(batch, features)`` to ``(batch, outputs)``.

    >>> Head(16, 3, hidden=[8])(torch.randn(2, 16)).shape
    torch.Size([2, 3])

    Args:
        features: pooled activations per image: twice the channels of all stages.
        outputs: number of outputs.
        hidden: width of each hidden layer; may be empty.
        dropout: as for `head_dropouts`; 0 leaves the layer out.

    Raises:
        ConfigError: an argument is out of its range.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        hidden: Sequence[int] = (512,),
        dropout: float | Sequence[float] | None = None,
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
            linear = nn.Linear(width, size)
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if number < len(hidden):
                nn.init.kaiming_normal_(linear.weight)
                layers.append(nn.ReLU(inplace=True))
            else:
                nn.init.zeros_(linear.weight)  # all classes alike: thousands of random weights would take long to fade
            width = size
        self.layers = nn.Sequential(*layers)

    def forward(self, pooled: Tensor) -> Tensor:
        """Outputs of pooled activations."""
        outputs: Tensor = self.layers(pooled)
        return outputs


class ImageModel(nn.Module):
    """A backbone and a head.

    **Shape:** images, uint8 or float from 0 to 1, ``(batch, 3, height, width)``, to ``(batch, outputs)``.

    Args:
        backbone: ``maps(images)`` gives a list of feature maps ``(batch, channels, height, width)``, one for each stage
            that the head sees, the last one last; ``groups()`` says which modules and parameters are early and which
            are late.
        head: from pooled activations to outputs.
    """

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Early backbone, late backbone, head."""
        early, late = self.backbone.groups()  # type: ignore[operator]  # a method; torch takes attributes for modules
        return [early, late, [self.head]]

    def maps(self, images: Tensor) -> list[Tensor]:
        """The backbone's feature maps, ``(batch, channels, height, width)`` for each stage."""
        found: list[Tensor] = self.backbone.maps(images)  # type: ignore[operator]  # as above
        return found

    def activations(self, images: Tensor) -> Tensor:
        """What can be computed once and kept while the backbone is frozen: ``(batch, features)``."""
        return pool_stages(self.maps(images))

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of images."""
        outputs: Tensor = self.head(self.activations(images))
        return outputs


class HeadOnly(nn.Module):
    """The head of a whole model, on activations: as many groups, the first two empty, so that rates stay valid.

    **Shape:** activations ``(batch, features)`` to ``(batch, outputs)``.

    Args:
        whole: whose head it is; the two share it.
    """

    def __init__(self, whole: ImageModel) -> None:
        super().__init__()
        self.head = whole.head

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Nothing, nothing, head."""
        return [[], [], [self.head]]

    def forward(self, activations: Tensor) -> Tensor:
        """Outputs of activations."""
        outputs: Tensor = self.head(activations)
        return outputs
