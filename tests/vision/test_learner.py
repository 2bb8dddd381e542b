"""`ImageLearner`: activations and back, fine-tuning, prediction, saving, interpretation, explanation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

import headstart
import vision_toys as toys
from headstart.core.errors import ArtifactError, ConfigError, DataError, HeadstartWarning, NotFittedError
from headstart.vision import Augment, ImageData, ImageLearner, side_on
from headstart.vision.activations import Activations
from headstart.vision.gradcam import grad_cam
from headstart.vision.store import RowStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageLearner:
    data = toys.make_data(folder, tmp_path_factory.mktemp("cache"))
    learner = toys.make_learner(data, precompute=1)
    learner.fit_one_cycle(0.02, 20)
    return learner


def stores(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.name.startswith("activations")}


def test_the_head_learns_from_activations_and_gives_the_same_from_images(trained: ImageLearner) -> None:
    assert trained.history[-1]["accuracy"] == 1.0 and trained.history[-1]["train_loss"] < 0.3
    assert len(trained.groups) == 3 and trained.copies == 1
    from_activations, target = trained.predict_with_targets()
    trained.from_images()
    assert trained.copies == 0 and trained.activations is None
    from_images, same = trained.predict_with_targets()
    trained.precompute()
    assert torch.equal(target, same) and float((from_activations - from_images).abs().max()) < 1e-4


def test_images_can_be_validated_while_the_head_has_activations(
    trained: ImageLearner, folder: Path, tmp_path: Path
) -> None:
    images = toys.make_data(folder, tmp_path).valid
    assert images is not None and trained.copies
    assert trained.validate(images) == pytest.approx(trained.validate(), abs=1e-4)


def test_training_the_head_either_way_gives_the_same(folder: Path, tmp_path: Path) -> None:
    """From images the frozen backbone gives in training what it gives in evaluation."""
    each = []
    for precompute in (1, 0):
        learner = toys.make_learner(toys.make_data(folder, tmp_path), precompute=precompute, dropout=0.0, linear=False)
        learner.freeze()
        learner.fit(0.01, 2)
        each.append(learner.predict_with_targets()[0])
    assert float((each[0] - each[1]).abs().max()) < 1e-3


def test_activations_then_images_then_fine_tuning(folder: Path, tmp_path: Path) -> None:
    learner = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)
    rates = [1e-4, 1e-3, 1e-2]
    learner.fit(rates, 1)
    before = {name: tensor.clone() for name, tensor in learner.model.backbone.state_dict().items()}
    assert learner.copies == 1 and learner.activations is not None
    learner.from_images()
    assert learner.copies == 0 and learner.activations is None
    learner.unfreeze()
    learner.fit(rates, 1)
    after = learner.model.backbone.state_dict()
    assert not torch.equal(before["body.conv_stem.weight"], after["body.conv_stem.weight"])
    other = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)
    other.unfreeze()  # by itself it goes back to images: a backbone cannot train from its own outputs
    assert other.copies == 0 and all(parameter.requires_grad for parameter in other.model.parameters())
    tuned = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)
    tuned.freeze()
    assert tuned.copies == 1
    assert len(tuned.fine_tune(1e-2, 1)) == 2 and tuned.copies == 0


def test_fine_tuning_keeps_pretrained_statistics_unless_told_otherwise(folder: Path, tmp_path: Path) -> None:
    """Batches' own statistics would give the head, trained on activations by the running ones, another input at once."""

    def means(learner: ImageLearner) -> list[torch.Tensor]:
        found = learner.model.backbone.state_dict()
        return [tensor.clone() for name, tensor in found.items() if name.endswith("running_mean")]

    for options, moved in (({}, False), ({"fixed_norms": False}, True), ({"weights": False}, True)):
        learner = toys.make_learner(toys.make_data(folder, tmp_path), **options)
        learner.unfreeze()
        before, scale = means(learner), learner.model.backbone.body.bn1.weight.detach().clone()
        learner.fit(1e-3, 1)
        after = means(learner)
        assert all(not torch.equal(*pair) for pair in zip(before, after, strict=True)) == moved
        assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True)) == moved
        assert not torch.equal(learner.model.backbone.body.bn1.weight, scale), "scale and shift learn either way"


def test_pretrained_learners_start_frozen_and_random_ones_do_not(folder: Path, tmp_path: Path) -> None:
    random = toys.make_learner(toys.make_data(folder, tmp_path), weights=False)
    pretrained = toys.make_learner(toys.make_data(folder, tmp_path))
    assert all(parameter.requires_grad for parameter in random.model.parameters())
    assert not any(parameter.requires_grad for parameter in pretrained.model.backbone.parameters())
    assert all(parameter.requires_grad for parameter in pretrained.model.head.parameters())


def test_activations_are_keyed_by_all_that_they_depend_on(folder: Path, tmp_path: Path) -> None:
    own, cache = tmp_path / "own", tmp_path / "cache"
    shutil.copytree(folder, own)

    def count(**options: Any) -> int:
        keys = ("weights", "hidden", "precompute", "stages", "grid")
        precision = options.pop("precision", "fp32")
        learner_options = {key: options.pop(key) for key in keys if key in options}
        data = toys.make_data(own, cache, **options)
        toys.make_learner(data, precision=precision, **{"precompute": 1, **learner_options})
        return len(stores(cache))

    assert count() == 1
    assert count(hidden=[4]) == 1, "the head makes no difference"
    for path in own.rglob("*.png"):
        path.touch()
    assert count() == 1, "nor do dates"
    assert count(split=lambda frame: headstart.splits.by_random(0.5)(frame)) == 1, "nor does the split"
    assert count(weights=False) == 2, "weights do"
    assert count(stages=1) == 3, "and what the head sees of the backbone"
    assert count(size=48) == 4
    assert count(resize="pad") == 5
    assert count(precision="bf16") == 6
    assert count(augment=Augment(flip=0.5), precompute=3) == 8, "two changed copies; the plain one is there"
    assert count(augment=Augment(flip=0.6), precompute=2) == 9
    assert count(grid=[2, 1, 1]) == 10, "a grid is more of them"
    assert count(grid=1) == 10
    Image.fromarray(toys.drawn("red", 999)).save(next(own.rglob("red_*.png")))
    assert count() == 11, "a file's content does"


def test_an_interrupted_computation_goes_on_where_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toys.make_data(folder, tmp_path)
    write, written = RowStore.write, []

    def stopping(self: RowStore, places: Any, values: Any) -> None:
        if self.folder.name.startswith("activations"):
            if len(written) == 1:
                raise KeyboardInterrupt
            written.append(len(places))
        write(self, places, values)

    monkeypatch.setattr(RowStore, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        toys.make_learner(data, precompute=1)

    def counting(self: RowStore, places: Any, values: Any) -> None:
        if self.folder.name.startswith("activations"):
            written.append(len(places))
        write(self, places, values)

    monkeypatch.setattr(RowStore, "write", counting)
    learner = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)
    assert sum(written) == 24, "each image once"
    width = 2 * sum(learner.model.backbone.widths)
    assert learner.activations is not None and learner.activations.nbytes == 24 * width * 4
    fresh = toys.make_learner(toys.make_data(folder, tmp_path / "fresh"), precompute=1)
    rows = np.arange(24)
    assert fresh.activations is not None
    assert torch.equal(learner.activations.take(rows, rows * 0), fresh.activations.take(rows, rows * 0))


def test_activations_come_from_disk_without_a_look_at_the_images(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)

    def never(*_: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(Activations, "_fast_body", property(never))
    toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)


def test_augmentation_and_precompute_together_are_spoken_of(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path, augment=side_on())
    with pytest.warns(
        HeadstartWarning,
        match=r"augmentation does not act on precomputed activations: .* precompute\(4\) .*learner.from_images\(\)",
    ):
        toys.make_learner(data, precompute=1)
    learner = toys.make_learner(data, precompute=3)
    assert learner.copies == 3
    with pytest.raises(
        ConfigError, match=r"precompute\(2\) needs changed copies, but the data have no augmentation.*augment='side_on'"
    ):
        toys.make_learner(toys.make_data(folder, tmp_path), precompute=2)
    with pytest.raises(ConfigError, match="precompute takes a whole number of copies, 0 or more; got -1"):
        learner.precompute(-1)
    learner.precompute(0)
    assert learner.copies == 0


def test_each_epoch_sees_one_copy_of_each_row(folder: Path, tmp_path: Path) -> None:
    learner = toys.make_learner(toys.make_data(folder, tmp_path, augment=Augment(rotate=30)), precompute=3)
    assert learner.activations is not None and learner.data is not None
    rows = learner.data.split.train
    copies = torch.stack([learner.activations.take(rows, np.full(len(rows), copy)) for copy in range(3)])
    used = set()
    for epoch in range(6):
        batches = list(learner.data.train.batches(epoch))
        index, found = torch.cat([b.index for b in batches]), torch.cat([b.inputs[0] for b in batches])
        assert sorted(index.tolist()) == list(range(len(rows)))
        which = (copies[:, index] == found).all(2).float().argmax(0)
        assert torch.equal(copies[which, index], found)
        used |= set(which.tolist())
    assert used == {0, 1, 2}


def test_a_saved_model_needs_neither_hub_nor_activations(trained: ImageLearner, folder: Path, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    expected = trained.predict(folder)
    code = (
        "import sys, headstart\n"
        "from headstart.vision import backbone_weights as weights\n"
        "def never(*a): raise SystemExit('asked for weights')\n"
        "weights.load_backbone = weights._from_hub = never\n"
        "sys.stdout.write(headstart.load(sys.argv[1]).predict(sys.argv[2]).write_csv())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model", folder], capture_output=True, text=True, check=False,
        env={"PATH": "", "HEADSTART_CACHE": str(tmp_path / "nothing"), "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = pl.read_csv(done.stdout.encode())
    assert found["prediction"].equals(expected["prediction"]) and not (tmp_path / "nothing").exists()
    loaded = headstart.load(tmp_path / "model", device="cpu")
    assert loaded.predict(folder).equals(expected), "to the bit"
    assert loaded.history == trained.history and loaded.values() == trained.values()
    with pytest.raises(NotFittedError, match="has no data"):
        loaded.validate()
    loaded.data = toys.make_data(folder, tmp_path / "more", codec=loaded.codec, size=None)
    loaded.fit(0.001, 1)


def test_a_head_with_a_grid_from_activations_from_images_and_from_disk(folder: Path, tmp_path: Path) -> None:
    learner = toys.make_learner(toys.make_data(folder, tmp_path), grid=[3, 1, 2], precompute=1)
    learner.fit(0.001, 1)
    head, _ = learner.predict_with_targets()
    learner.from_images()
    whole, _ = learner.predict_with_targets()
    assert torch.allclose(head, whole, atol=1e-5)
    learner.save(tmp_path / "model")
    loaded = headstart.load(tmp_path / "model", device="cpu")
    assert loaded.model.grids == (3, 1, 2) and loaded.predict(folder).equals(learner.predict(folder))
    images, classes = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    seen = grad_cam(loaded.model, images, classes)
    assert seen.shape == (2, 64, 64) and seen.min() >= 0 and seen.max() <= 1
    with pytest.raises(ConfigError, match="grid has 2 numbers, but the head sees 3 stages"):
        toys.make_learner(toys.make_data(folder, tmp_path), grid=[3, 1])


def test_predictions_for_everything_that_can_be_an_image(trained: ImageLearner, folder: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    table = trained.predict(folder)
    assert table.columns == ["path", "prediction", "probability_blue", "probability_red"]
    assert table["path"].to_list() == [str(path.relative_to(folder)) for path in paths]
    assert (table["prediction"] == [path.parent.name for path in paths]).mean() == 1.0
    one = trained.predict(paths[0])
    assert one["prediction"] == table["prediction"][0] and one["probability_red"] == pytest.approx(
        table["probability_red"][0], abs=1e-5
    )
    image = Image.open(paths[0])
    same = [paths[0].read_bytes(), image, np.asarray(image), torch.from_numpy(np.array(image))]
    assert all(trained.predict(each) == one for each in same)
    several = trained.predict(paths[:3])
    assert several["path"].to_list() == [str(path) for path in paths[:3]]
    many = trained.predict(np.stack([np.asarray(Image.open(path)) for path in paths]))
    assert np.allclose(many["probability_red"], table["probability_red"], atol=1e-5)
    frame = pd.DataFrame({"path": [str(path.relative_to(folder)) for path in paths]}, index=range(5, 5 + len(paths)))
    answers = trained.predict(frame, folder=folder)
    assert isinstance(answers, pd.DataFrame) and list(answers.index) == list(frame.index)
    assert answers["prediction"].tolist() == table["prediction"].to_list()
    assert trained.predict([]).is_empty()
    figures = trained.evaluate(folder)
    assert figures["accuracy"] == 1.0 and "valid_loss" in figures


def test_a_prediction_does_not_depend_on_its_neighbours(trained: ImageLearner, folder: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    alone = trained.predict(paths[3:4])["probability_red"][0]
    assert trained.predict(paths)["probability_red"][3] == pytest.approx(alone, abs=1e-6)


def test_test_time_augmentation_averages_views(trained: ImageLearner, folder: Path, tmp_path: Path) -> None:
    plain, several = trained.predict(folder), trained.predict(folder, tta=4)
    assert not np.allclose(plain["probability_red"], several["probability_red"], atol=1e-6)
    assert np.allclose(several["probability_red"] + several["probability_blue"], 1, atol=1e-5)
    assert 0 <= trained.predict(next(folder.rglob("*.png")), tta=3)["probability_red"] <= 1
    learner = toys.make_learner(toys.make_data(folder, tmp_path, augment=Augment(flip=1.0)), precompute=2)
    mirrored, target = learner.predict_with_targets(tta=2)
    assert mirrored.shape == (5, 2) and len(target) == 5
    learner.from_images()
    from_images, _ = learner.predict_with_targets(tta=2)
    assert torch.allclose(mirrored, from_images, atol=1e-4), "a mirror image is one, however it was drawn"
    with pytest.raises(ConfigError, match="tta must be a whole number of views, at least 1; got 0"):
        trained.predict(folder, tta=0)


def test_images_that_cannot_be_predicted(trained: ImageLearner, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "red" / "red_00.png", tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(DataError, match="b.png is no image that pillow knows"):
        trained.predict(tmp_path)
    found = trained.predict(tmp_path, on_error="skip")
    assert (
        found["prediction"].to_list() == ["red", None] and "no image" in found["error"][1] and found["error"][0] is None
    )
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "c.png").write_text("none")
    assert trained.predict(tmp_path / "bad", on_error="skip")["prediction"].to_list() == [None]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        trained.predict(tmp_path / "empty")
    with pytest.raises(DataError, match="there is no column 'path'"):
        trained.predict(pl.DataFrame({"file": ["a.png"]}))
    with pytest.raises(DataError, match="none.png cannot be read: No such file"):
        trained.predict(tmp_path / "none.png")


def test_interpretation_and_its_plots(trained: ImageLearner, tmp_path: Path) -> None:
    seen = trained.interpret()
    assert seen.table.columns == ["path", "truth", "prediction", "probability", "loss"] and len(seen.table) == 5
    worst = seen.top_losses(2)
    assert worst["loss"].to_list() == sorted(seen.table["loss"], reverse=True)[:2]
    assert seen.least_certain(1)["probability"][0] == seen.table["probability"].min()
    assert seen.most_certain(1)["probability"][0] == seen.table["probability"].max()
    assert seen.most_certain(3, wrong=True).is_empty()
    matrix = seen.confusion_matrix()
    assert matrix.drop("class").to_numpy().sum() == 5 and seen.most_confused().is_empty()
    plots = [
        seen.plot_top_losses(3),
        seen.plot_least_certain(2),
        seen.plot_most_certain(1),
        seen.plot_confusion(),
        trained.show_batch(4),
    ]
    for number, plot in enumerate(plots):
        plot.savefig(tmp_path / f"{number}.png")
        assert len(np.unique(np.asarray(Image.open(tmp_path / f"{number}.png")).reshape(-1, 4), axis=0)) > 50
    with pytest.raises(ConfigError, match="count must be a whole number of at least 1; got 0"):
        seen.top_losses(0)
    with pytest.raises(ConfigError, match="there are no images to show"):
        seen.plot_most_certain(3, wrong=True)


def test_grad_cam_finds_what_the_class_is_told_by(folder: Path, tmp_path: Path) -> None:
    """A model that counts red: its map must lie where the red square is."""
    from headstart.vision.models.network import Head, ImageModel

    class Red(torch.nn.Module):
        def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
            pixels = images.float() / 255
            return [torch.nn.functional.avg_pool2d(pixels[:, :1] - pixels[:, 1:2], 4)]

        def groups(self) -> Any:
            return [], []

    model = ImageModel(Red(), Head(2, 2, hidden=[], dropout=0.0))
    with torch.no_grad():
        model.head.layers[1].weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    pixels = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    pixels[0, :, 4:16, 16:28] = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    for_red, for_blue = grad_cam(model, pixels, torch.tensor([1])), grad_cam(model, pixels, torch.tensor([0]))
    assert for_red.shape == (1, 32, 32) and float(for_red[0, 6:14, 18:26].min()) > 0.9
    assert float(for_red[0, 20:].max()) < 0.05 and float(for_blue.max()) < 0.05
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_stage_that_speaks_against_the_class_does_not_hide_what_speaks_for_it() -> None:
    from headstart.vision.gradcam import grad_cam
    from headstart.vision.models.network import Head, ImageModel

    class RedAndAll(torch.nn.Module):
        def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
            pixels = torch.nn.functional.avg_pool2d(images.float() / 255, 4)
            return [pixels[:, :1] - pixels[:, 1:2], pixels[:, :1] * 0 + 1]

        def groups(self) -> Any:
            return [], []

    model = ImageModel(RedAndAll(), Head(4, 2, hidden=[], dropout=0.0))
    with torch.no_grad():  # by average and maximum of each stage; the second, everywhere 1, is all against the class
        model.head.layers[1].weight.copy_(torch.tensor([[0.0] * 4, [1.0, 0.0, -9.0, 0.0]]))
    pixels = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    pixels[0, :, 4:16, 16:28] = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    seen = grad_cam(model, pixels, torch.tensor([1]))
    assert float(seen[0, 6:14, 18:26].min()) > 0.9 and float(seen[0, 20:].max()) < 0.05


def test_several_labels_per_image(tmp_path: Path) -> None:
    images, colours = toys.arrays()
    labels = [[colour, "warm"] if colour == "red" else [] for colour in colours]
    data = ImageData.from_arrays(images, labels, size=32, cache=tmp_path, batch_size=8)
    learner = toys.make_learner(data, precompute=1, label_smoothing=0.05)
    learner.fit_one_cycle(0.02, 15)
    found = learner.predict(images[:2])
    assert found["prediction"].to_list() == [[], ["red", "warm"]]
    seen = learner.interpret()
    assert set(seen.confusion_matrix().columns) >= {"class", "precision", "recall"}
    seen.plot_top_losses(2)
    with pytest.raises(ConfigError, match="with several labels per image no class is mistaken for another"):
        seen.plot_confusion()


def test_label_smoothing_keeps_the_model_from_being_too_sure(folder: Path, tmp_path: Path) -> None:
    losses = []
    for smoothing in (0.0, 0.3):
        learner = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1, label_smoothing=smoothing)
        losses.append(learner.fit(0.02, 15)[-1]["train_loss"])
    assert losses[1] > losses[0] + 0.1


def test_a_set_at_another_size_and_the_backbone_s_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toys.make_data(folder, tmp_path, size=None)
    assert toys.make_learner(data).codec.sizing.size == 160, "the size of the backbone's weights"
    assert next(data.at_size(24).train.batches(0)).inputs[0].shape[2:] == (24, 24)
    learner = toys.make_learner(toys.make_data(folder, tmp_path))
    assert learner.data is not None
    learner.data = learner.data.at_size(48)
    learner.fit(1e-3, 1)
    learner.save(tmp_path / "larger")
    again = headstart.load(tmp_path / "larger", device="cpu")
    assert again.codec.sizing.size == learner.codec.sizing.size == 48, "predictions are made at the size of training"
    assert next(learner.data.train.batches(0)).inputs[0].shape[2:] == (48, 48)
    with pytest.raises(ConfigError, match="were given no size, and the learner's images have 48 pixels.*or size=48"):
        learner.data = data
    monkeypatch.setattr(learner.model.backbone, "fixed_size", True)
    with pytest.raises(ConfigError, match="made for images of 48 pixels and takes no others; these data's have 32"):
        learner.data = toys.make_data(folder, tmp_path)


def test_learners_check_their_options_and_what_they_load(trained: ImageLearner, folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path)
    with pytest.raises(ConfigError, match="label_smoothing must be a number of at least 0 and below 1; got 1"):
        toys.make_learner(data, label_smoothing=1)
    with pytest.raises(ConfigError, match="timm has no model"):
        toys.make_learner(data, backbone="test_effcientnet")
    trained.save(tmp_path / "model")
    other = toys.make_learner(toys.make_data(folder, tmp_path, size=48))
    with pytest.raises(
        ArtifactError, match=r"another codec than this learner.*codec\.sizing\.size is 32 there and 48 here"
    ):
        other.load(tmp_path / "model")
    same = toys.make_learner(data, precompute=1, seed=9)
    same.load(tmp_path / "model")
    assert torch.equal(same.predict_with_targets()[0], trained.predict_with_targets()[0])


def test_label_smoothing_and_all_of_training_survive_saving(folder: Path, tmp_path: Path) -> None:
    """It was once saved but not used by a learner that was loaded and trained on."""
    data = toys.make_data(folder, tmp_path)
    learner = toys.make_learner(data, label_smoothing=0.2, weight_decay=0.3, clip=0.5)
    learner.fit(0.01, 1)
    learner.save(tmp_path / "model")
    loaded = headstart.load(tmp_path / "model", device="cpu")
    loaded.data, loaded.progress = data, "none"
    assert loaded.training == learner.training and loaded.design == learner.design
    assert loaded.design.fixed_norms is True and loaded.design.dropout == (0.5, 0.5)
    for each in (learner, loaded):
        each.precompute()
        each.fit(0.01, 2)
    assert [epoch["train_loss"] for epoch in loaded.history] == [epoch["train_loss"] for epoch in learner.history]
    plain = toys.make_learner(data, weight_decay=0.3, clip=0.5)
    assert plain.fit(0.01, 1)[0]["train_loss"] != learner.history[0]["train_loss"]


def test_without_validation_rows_all_images_train(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path, split=headstart.splits.train_on_all)
    assert data.valid is None and len(data.split.train) == 24 and "24 training and no validation rows" in repr(data)
    learner = toys.make_learner(data, precompute=1)
    learner.fit_one_cycle(0.02, 2, keep="best")
    learner.unfreeze()
    learner.fit(1e-4, 1)
    learner.show_batch(4)
    for action in (learner.interpret, lambda: learner.predict_with_targets(tta=2)):
        with pytest.raises(ConfigError, match="there are no validation rows"):
            action()
    assert learner.evaluate(folder)["valid_loss"] > 0


def test_the_plan_trains_the_head(folder: Path, tmp_path: Path) -> None:
    learner = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)
    assert (learner.plan().lr, learner.plan().epochs, learner.plan().keep) == (1e-3, 10, "best")
    assert len(learner.fit_one_cycle()) == 10


def test_activations_of_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path)
    learner, other = (toys.make_learner(data, precompute=1, linear=False) for _ in range(2))
    other.unfreeze()
    other.fit(1e-3, 1)
    other.save(tmp_path / "tuned")
    learner.load(tmp_path / "tuned")
    with pytest.raises(ConfigError, match=r"the backbone has other weights than those that computed the activations"):
        learner.validate()
    learner.precompute()
    assert learner.validate() == pytest.approx(other.validate(), abs=1e-4)
    other.data = learner.data
    with pytest.raises(ConfigError, match=r"another learner's backbone computed: call learner.precompute\(\)"):
        other.validate()
    other.precompute()
    assert other.validate() == learner.validate()


def test_a_checkpoint_of_activations_is_not_resumed_from_images(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path, augment=Augment(flip=1.0))
    toys.make_learner(data, precompute=2).fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    learner = toys.make_learner(data, precompute=2)
    learner.from_images()
    with pytest.raises(ArtifactError, match="data.inputs was 'activations', is 'images'"):
        learner.fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    with pytest.raises(ArtifactError, match="design.linear was True, is None"):
        toys.make_learner(data).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    with pytest.raises(ArtifactError, match="data.copies was 2, is 3"):
        toys.make_learner(data, precompute=3).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    toys.make_learner(data, precompute=2).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)


def test_a_prediction_is_explained(trained: ImageLearner, folder: Path, tmp_path: Path) -> None:
    path = next(folder.rglob("red_*.png"))
    reason = trained.explain(path)
    assert reason.label == "red" and reason.prediction == pytest.approx(trained.predict(path))
    assert reason.image.shape == (3, 32, 32) and reason.heat.shape == (32, 32) and float(reason.heat.max()) <= 1
    assert repr(reason).startswith("Explanation('red' ")
    assert trained.explain(np.asarray(Image.open(path)), "blue").label == "blue"
    reason.plot().savefig(tmp_path / "reason.png")
    with pytest.raises(ConfigError, match="there is no class 'rde'; did you mean 'red'"):
        trained.explain(path, "rde")
    with pytest.raises(ConfigError, match="explain takes one image; got list"):
        trained.explain([path, path])


def test_a_codec_alone_makes_a_learner_that_predicts_and_reads_no_weights(
    trained: ImageLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> str:
        raise AssertionError("weights were read")

    monkeypatch.setattr("headstart.vision.learner.load_backbone", never)
    learner = ImageLearner(trained.codec, design=trained.design, progress="none")
    learner.model.load_state_dict(trained.model.state_dict())
    learner.temperature = trained.temperature
    images, _ = toys.arrays(3)
    assert learner.predict(images).equals(trained.predict(images))
    with pytest.raises(NotFittedError, match="has no data"):
        learner.precompute()


def test_activations_that_were_not_computed_are_refused(folder: Path, tmp_path: Path) -> None:
    learner = toys.make_learner(toys.make_data(folder, tmp_path), precompute=1)
    assert learner.activations is not None
    store = learner.activations._store(0)
    store.done[[3, 5]] = 0
    rows = np.arange(24)
    with pytest.raises(DataError, match=r"lacks 2 of 24 rows: they were not computed yet.*compute them again"):
        learner.activations.take(rows, rows * 0)
    learner.precompute()
    assert learner.activations.take(rows, rows * 0).abs().sum(1).min() > 0


def test_values_are_on_the_disk_before_they_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    store = RowStore(tmp_path, "kind", {}, rows=4, shape=(2,), dtype="float32")
    brief = RowStore(tmp_path, "kind", {"brief": True}, rows=4, shape=(2,), dtype="float32", lasting=False)

    def flush(self: np.memmap[Any, Any]) -> None:
        order.append(f"{self.dtype} {int(store.done.sum())} marked")

    monkeypatch.setattr(np.memmap, "flush", flush)
    store.write(np.array([0, 2]), np.ones((2, 2), dtype=np.float32))
    assert order == ["float32 0 marked"] and store.done.tolist() == [1, 0, 1, 0]
    brief.write(np.array([1]), np.ones((1, 2), dtype=np.float32))
    assert len(order) == 1 and brief.done.tolist() == [0, 1, 0, 0], "what is deleted soon does not wait for the disk"


def test_an_epoch_draws_the_copy_of_each_row_once(folder: Path, tmp_path: Path) -> None:
    """In each batch anew, it took a minute for 320,000 rows."""
    learner = toys.make_learner(toys.make_data(folder, tmp_path, augment=side_on(), batch_size=4), precompute=3)
    drawn: list[int] = []

    class Draws(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if func.overloadpacket is torch.ops.aten.randint:
                drawn.append(result.numel())
            return result

    assert learner.data is not None
    rows = learner.data.train.rows
    with Draws():
        assert sum(1 for _ in learner.data.train.batches(1)) > 3
    assert drawn == [rows]


def test_views_of_one_image_are_those_of_many(folder: Path, trained: ImageLearner) -> None:
    """A view changes all images in the same way: a prediction does not depend on what else is predicted."""
    paths = sorted(folder.rglob("*.png"))[:3]
    together = trained.predict(paths, tta=6)
    for row, path in zip(together.to_dicts(), paths, strict=True):
        alone, listed = trained.predict(path, tta=6), trained.predict([path], tta=6).to_dicts()[0]
        for name in ("probability_red", "probability_blue"):
            assert alone[name] == pytest.approx(listed[name], abs=1e-6) == pytest.approx(row[name], abs=1e-6)
        assert alone["probability_red"] != pytest.approx(trained.predict(path)["probability_red"], abs=1e-6)


def test_a_tensor_with_its_channels_first_is_one_image() -> None:
    images, labels = toys.arrays()
    data = ImageData.from_arrays(images, labels, size=32, batch_size=8, cache=toys.cache())
    learner = ImageLearner(data, backbone="resnet18", weights=False, hidden=[], progress="none")
    image = torch.rand(3, 40, 44)
    last = image.permute(1, 2, 0)
    expected = learner.predict(last.numpy())
    assert learner.predict(image) == expected and learner.predict(last) == expected
    several = learner.predict(torch.stack([image, image.flip(2)]))
    assert several.shape[0] == 2
    assert several.row(0, named=True)["prediction"] == expected["prediction"]
    assert isinstance(learner.predict(torch.rand(1, 40, 44)), dict)  # one grey image
    assert len(learner.predict(torch.rand(5, 40, 44))) == 5  # five grey images
