"""The lesson's images are headstart's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch import nn

from headstart.classic import ConvLearner, ImageClassifierData, tfms_from_model, transforms_side_on
from headstart.core.errors import ConfigError
from headstart.vision import ImageData, ImageLearner

ARCH = "test_efficientnet"  # timm's own for tests: a few thousand weights, here at random
L4 = ["BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear", "LogSoftmax"]


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six red and six green images to train on, three of each to validate by."""
    folder, random = tmp_path_factory.mktemp("animals"), np.random.default_rng(0)
    for part, count in (("train", 6), ("valid", 3)):
        for label, colour in (("cat", (200, 40, 40)), ("dog", (40, 200, 40))):
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = (random.integers(0, 50, (40, 40, 3)) + np.array(colour) - 25).clip(0, 255).astype("uint8")
                Image.fromarray(pixels).save(folder / part / label / f"{number}.png")
    return folder


@pytest.fixture
def data(animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageClassifierData:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return ImageClassifierData.from_paths(animals, tfms=tfms_from_model(ARCH, 32), bs=4)


def test_the_lesson_s_lines_give_headstart_s_own_numbers(
    data: ImageClassifierData, animals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = ConvLearner.pretrained(ARCH, data, weights=False, precompute=True, ps=0.2, xtra_fc=[16])
    learn.fit(1e-2, 2, cycle_len=1, wds=1e-3)
    own = ImageLearner(
        ImageData.from_folder(animals, size=32, batch_size=4), backbone=ARCH, weights=False, precompute=1,
        dropout=0.2, hidden=[16], linear=False, stages=1, fixed_norms=False, weight_decay=1e-3, progress="none",
    )  # fmt: skip
    own.fit(1e-2, 2, cycle_len=1)
    assert [row["train_loss"] for row in learn.learner.history] == [row["train_loss"] for row in own.history]
    probabilities = own.predict_with_targets()[0].numpy()
    assert np.allclose(np.exp(learn.predict()), probabilities, atol=1e-6)
    rows = [[float(word) for word in line.strip("[]").split()] for line in capsys.readouterr().out.splitlines()]
    found, true = learn.predict_with_targs()
    assert [len(row) for row in rows] == [4, 4]  # accuracy is the usual metric
    assert rows[-1][3] == pytest.approx((found.argmax(1) == true).mean(), abs=1e-5)


def test_the_head_is_shown_and_trained_alone_while_precomputed(data: ImageClassifierData) -> None:
    learn = ConvLearner.pretrained(ARCH, data, weights=False, precompute=True)
    assert [type(layer).__name__ for layer in learn.model] == L4
    assert [layer.p for layer in learn.model if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    assert repr(learn).startswith("Sequential(") and "(7): LogSoftmax(" in repr(learn)
    learn.precompute = False
    learn.unfreeze()
    assert [type(layer).__name__ for layer in learn.model][2:] == L4
    learn.fit(np.array([1e-5, 1e-4, 1e-3]), 1, cycle_len=1)
    assert learn.predict().shape == (6, 2)


def test_images_named_in_a_file(data: ImageClassifierData, animals: Path, tmp_path: Path) -> None:
    names = [f"{label}/{number}" for label in ("cat", "dog") for number in range(6)]
    labels = pd.DataFrame({"id": names, "breed": [name[:3] for name in names]})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    tfms = tfms_from_model(ARCH, 32, aug_tfms=transforms_side_on, max_zoom=1.05)
    named = ImageClassifierData.from_csv(
        animals, "train", tmp_path / "labels.csv", tfms=tfms, val_idxs=[0, 6], suffix=".png", bs=4
    )
    assert (named.classes, named.bs, named.sz) == (["cat", "dog"], 4, 32)
    assert named.data.split.valid.tolist() == [0, 6]
    assert tfms.augment is not None and tfms.augment.zoom == 1.05
    with pytest.raises(ConfigError, match="max_zoom is a part of augmentation: give aug_tfms=transforms_side_on"):
        tfms_from_model(ARCH, 32, max_zoom=1.1)
