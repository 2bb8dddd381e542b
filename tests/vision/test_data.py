"""`ImageData`: folders, tables, arrays; splits, duplicates, files that cannot be decoded, workers."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

import vision_toys as toys
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import options_of
from headstart.frames import splits
from headstart.frames.csv import CsvOptions
from headstart.frames.splits import by_groups, by_random
from headstart.vision import Augment, ImageData, ImageLearner, side_on
from headstart.vision.data import ImageDataOptions, ImageSettings
from headstart.vision.images import FileImages, array_images
from headstart.vision.linear import solve_linear


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.make_folder(tmp_path_factory.mktemp("images"))


def pixels(data: ImageData, side: str = "valid") -> torch.Tensor:
    loader = getattr(data, side)
    return torch.cat([batch.inputs[0] for batch in loader.batches(0)])


def test_a_folder_per_class_is_split_at_random(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path)
    assert data.codec.target.classes == ("blue", "red")
    assert (len(data.split.train), len(data.split.valid)) == (19, 5)
    batch = next(data.train.batches(0))
    assert batch.inputs[0].shape == (8, 3, 32, 32) and batch.inputs[0].dtype == torch.uint8
    assert data.notes == () and data.skipped.is_empty() and data.duplicates.is_empty()


def test_train_and_valid_folders_are_the_split(tmp_path: Path) -> None:
    folder = toys.make_folder(tmp_path / "split", split=True)
    (folder / "test" / "red").mkdir(parents=True)
    shutil.copy(folder / "train" / "red" / "red_01.png", folder / "test" / "red" / "extra.png")
    (folder / "valid" / "notes.txt").write_text("no image")
    data = toys.make_data(folder, tmp_path / "cache")
    assert (len(data.split.train), len(data.split.valid)) == (16, 8)
    assert all("/valid/" in data.images.names[row] for row in data.split.valid)
    assert any("1 images beside these parts were left out" in note for note in data.notes) and any(
        "1 file whose ending is" in note for note in data.notes
    )


@pytest.mark.parametrize("library", ["polars", "pandas", "csv"])
def test_a_table_of_paths_and_labels(library: str, folder: Path, tmp_path: Path) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    frame = pl.DataFrame({"file": names, "kind": [name.split("/")[0] for name in names]})
    table: Any = frame if library == "polars" else pd.DataFrame(frame.to_dict(as_series=False))
    if library == "csv":
        table = tmp_path / "table.csv"
        frame.write_csv(table)
    data = ImageData.from_table(
        table,
        "file",
        "kind",
        folder=folder,
        size=32,
        workers=0,
        cache=tmp_path,
        where="kind = 'red' OR file < 'blue/blue_06'",
    )
    assert len(data.frame) == 18 and data.codec.path == "file"
    assert torch.equal(
        pixels(data),
        pixels(
            toys.make_data(folder, tmp_path, split=lambda _: data.split, where="label = 'red' OR path < 'blue/blue_06'")
        ),
    )


def test_several_labels_as_lists_or_as_a_text(folder: Path, tmp_path: Path) -> None:
    names = sorted(str(path) for path in folder.rglob("*.png"))
    lists = [["red"] if "red" in Path(name).name else ["blue", "cold"] for name in names]
    lists[0] = []
    arguments: dict[str, Any] = {"size": 32, "workers": 0, "cache": tmp_path}
    data = ImageData.from_table(pl.DataFrame({"path": names, "label": lists}), "path", "label", **arguments)
    text = pl.DataFrame({"path": names, "label": [" | ".join(labels) for labels in lists]})
    same = ImageData.from_table(text, "path", "label", separator="|", **arguments)
    assert data.codec == same.codec and data.codec.target.classes == ("blue", "cold", "red")
    assert data.train.target is not None and data.train.target.shape == (19, 3)
    assert torch.equal(data.train.target, same.train.target)


def test_validation_rows_of_their_own(folder: Path, tmp_path: Path) -> None:
    names = sorted(str(path) for path in folder.rglob("*.png"))
    frame = pl.DataFrame({"path": names, "label": ["red" if "red" in Path(name).name else "blue" for name in names]})
    data = ImageData.from_table(frame[4:], "path", "label", valid=frame[:4], size=32, workers=0, cache=tmp_path)
    assert [data.images.names[row] for row in data.split.valid] == names[:4]
    with pytest.raises(ConfigError, match="by split= or by valid=, not by both"):
        ImageData.from_table(frame, "path", "label", valid=frame, split=by_random(), cache=tmp_path)


def test_arrays_of_every_kind_give_the_same_images(tmp_path: Path) -> None:
    images, labels = toys.arrays()
    grey = images[..., 0]
    opaque = np.concatenate([images, np.full((*images.shape[:3], 1), 255, np.uint8)], 3)
    wide = images.astype(np.uint16) * 257
    data = ImageData.from_arrays(images, labels, size=32, cache=tmp_path)
    for other in (opaque, wide, torch.from_numpy(images), images / 255.0):
        assert np.array_equal(array_images(other).array, images)
    assert array_images(grey).array.shape == images.shape
    assert array_images(grey > 100).array.max() == 255
    valid = ImageData.from_arrays(images[:20], np.array(labels[:20]), valid=(images[20:], labels[20:]), size=32)
    assert len(valid.split.valid) == 4 and data.train.batch_size == 64


def test_workers_or_none_give_the_same_tensors(tmp_path: Path) -> None:
    folder = toys.make_folder(tmp_path / "images", 20)
    each = [
        toys.make_data(folder, tmp_path / str(workers), workers=workers, resize="pad", augment=side_on())
        for workers in (0, 1, 2)
    ]
    for side in ("train", "valid"):
        expected = pixels(each[0], side)
        assert all(torch.equal(pixels(data, side), expected) for data in each[1:])


def test_each_epoch_shows_every_row_once_and_changes_it_anew(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path, augment=Augment(flip=0.5, rotate=20))
    plain = toys.make_data(folder, tmp_path)
    epochs = [list(data.train.batches(epoch)) for epoch in (0, 1, 0)]
    for batches in epochs:
        rows = torch.cat([batch.index for batch in batches])  # type: ignore[misc]  # they carry one
        assert sorted(rows.tolist()) == list(range(19))
    assert torch.equal(epochs[0][0].inputs[0], epochs[2][0].inputs[0])
    later = next(data.train.batches(0, start_step=1))
    assert torch.equal(later.inputs[0], epochs[0][1].inputs[0])
    by_row = [
        torch.cat([b.inputs[0] for b in epoch])[torch.cat([b.index for b in epoch]).argsort()] for epoch in epochs
    ]  # type: ignore[misc]
    assert not torch.allclose(by_row[0], by_row[1])
    assert torch.equal(pixels(data), pixels(plain))  # validation rows are never changed


def test_resized_copies_are_kept_by_content(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    pixels(toys.make_data(own, tmp_path / "cache"))
    [first] = (tmp_path / "cache").iterdir()
    path = next(own.rglob("*.png"))
    os.utime(path, (time.time() - 1e6, time.time() - 1e6))
    path.rename(path.with_name("renamed.png"))
    toys.make_data(own, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == [first]
    Image.fromarray(toys.drawn("red", 999)).save(path.with_name("renamed.png"))
    toys.make_data(own, tmp_path / "cache")
    toys.make_data(own, tmp_path / "cache", size=40)
    toys.make_data(own, tmp_path / "cache", resize="pad")
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_no_group_is_on_both_sides(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path, group=r"_(\d)")
    groups = data.frame["group"].to_numpy()
    assert not set(groups[data.split.train]) & set(groups[data.split.valid])
    same = toys.make_data(folder, tmp_path, split=lambda frame: data.split)
    assert len(same.split.valid) == len(data.split.valid)
    frame = data.frame.with_columns(pl.lit(str(folder) + "/").add(pl.col("path")).alias("path"))
    again = ImageData.from_table(frame, "path", "label", group="group", size=32, workers=0, cache=tmp_path)
    assert np.array_equal(again.split.valid, data.split.valid)
    by_hand = ImageData.from_table(frame, "path", "label", split=by_groups("group"), size=32, workers=0, cache=tmp_path)
    assert np.array_equal(by_hand.split.valid, data.split.valid)


def test_images_saved_again_are_found(tmp_path: Path) -> None:
    """Smaller, as JPEG and under another class; flat images and exact copies are no finds."""
    own = toys.make_folder(tmp_path / "own")
    original = own / "red" / "photo.png"
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    photo = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)
    photo.save(original)
    photo.resize((80, 60), Image.Resampling.BICUBIC).save(own / "blue" / "smaller.jpg", quality=80)
    shutil.copy(own / "red" / "red_04.png", own / "red" / "copy.png")
    for number in range(2):
        Image.new("RGB", (30, 30), (number, 0, 0)).save(own / "blue" / f"flat_{number}.png")
    data = toys.make_data(own, tmp_path)
    found = data.near_duplicates()
    assert found.columns == data.duplicates.columns and len(data.duplicates) == 1
    assert set(found.select("path", "same_as").row(0)) == {str(original), str(own / "blue" / "smaller.jpg")}
    assert len(found) == 1 and found["labels_differ"].to_list() == [True]
    assert toys.make_data(toys.make_folder(tmp_path / "other"), tmp_path).near_duplicates().is_empty()


def test_duplicates_are_reported(tmp_path: Path) -> None:
    folder = toys.make_folder(tmp_path / "images", 6, split=True)
    shutil.copy(folder / "train" / "red" / "red_01.png", folder / "valid" / "red" / "again.png")
    shutil.copy(folder / "train" / "red" / "red_02.png", folder / "train" / "blue" / "wrong.png")
    data = toys.make_data(folder, tmp_path / "cache")
    found = data.duplicates.sort("path")
    assert len(found) == 2 and found["across"].to_list().count(True) == 1 and found["labels_differ"].sum() == 1
    assert any("1 images are among the training and the validation rows" in note for note in data.notes)
    assert any("occur again with another label" in note for note in data.notes)


def bad_folder(folder: Path) -> Path:
    toys.make_folder(folder, 20)
    good = (folder / "red" / "red_00.png").read_bytes()
    (folder / "red" / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "blue" / "text.jpg").write_text("no image at all")
    (folder / "blue" / "empty.jpg").write_bytes(b"")
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_files_are_skipped_and_listed(workers: int, tmp_path: Path) -> None:
    folder = bad_folder(tmp_path / "images")
    data = toys.make_data(folder, tmp_path / "cache", on_error="skip", workers=workers)
    assert len(data.split.train) + len(data.split.valid) == 40
    reasons = {Path(path).name: reason for path, reason in data.skipped.iter_rows()}
    assert set(reasons) == {"cut.png", "text.jpg", "empty.jpg"} and "no image" in reasons["text.jpg"]
    assert any("3 of 43 files cannot be decoded" in note for note in data.notes)
    assert len(pixels(data, "train")) == len(data.split.train)


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_files_are_errors_otherwise(workers: int, tmp_path: Path) -> None:
    data = toys.make_data(bad_folder(tmp_path / "images"), tmp_path / "cache", workers=workers)
    with pytest.raises(
        DataError, match=r"(cut.png|text.jpg|empty.jpg) .*\(with on_error='skip' such files are left out"
    ):
        pixels(data, "train"), pixels(data, "valid")


def test_a_worker_that_dies_is_an_error_and_not_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toys.make_folder(tmp_path / "images", 20)
    data = toys.make_data(folder, tmp_path / "cache", workers=1)
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\nread setting\nread files\nexit 1\n")
    dying.chmod(0o755)
    monkeypatch.setattr("headstart.vision.workers.sys.executable", str(dying))
    with pytest.raises(DataError, match="the process that decoded it ended .*try workers=0"):
        pixels(data, "train")


def test_without_workers_that_start_it_decodes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = toys.make_data(toys.make_folder(tmp_path / "images", 20), tmp_path / "cache", workers=1)
    monkeypatch.setattr("headstart.vision.workers.sys.executable", str(tmp_path / "none"))
    assert len(pixels(data, "train")) == 32


def test_missing_files_are_named_at_once(folder: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"path": ["red/red_00.png", "red/none.png", "blue/blue_00.png"] * 3, "label": ["a", "a", "b"] * 3}
    )
    with pytest.raises(DataError, match=r"3 of 9 files cannot be read; the first: .*none.png: No such file"):
        ImageData.from_table(frame, "path", "label", folder=folder, cache=tmp_path)
    data = ImageData.from_table(
        frame, "path", "label", folder=folder, cache=tmp_path, on_error="skip", size=32, workers=0
    )
    assert len(data.skipped) == 3 and len(data.split.train) + len(data.split.valid) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'skip'; got 'ignore'"),
        ({"workers": -1}, "workers must be a whole number of at least 0, or None; got -1"),
        ({"augment": "sideways"}, "augment must be an Augment or 'side_on' or 'top_down', or None; got 'sideways'"),
        ({"group": "["}, "group must be a regular expression"),
        ({"group": "red_(.)"}, "does not match 'blue/blue_00.png'"),
        ({"group": "(.)", "split": by_random()}, "give split= or group=, not both"),
        ({"size": 0}, "size must be a whole number of at least 1 and at most 4096, or None; got 0"),
        ({"where": "label = 'green'"}, "none of the 24 rows fulfils where="),
    ],
)
def test_options_are_checked(change: dict[str, Any], message: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        toys.make_data(folder, tmp_path, **change)


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        toys.make_data(tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images; known endings are"):
        toys.make_data(tmp_path / "empty", tmp_path)
    toys.make_folder(tmp_path / "one")
    shutil.rmtree(tmp_path / "one" / "blue")
    with pytest.raises(DataError, match=r"'label' has one class in the training rows \('red'\)"):
        toys.make_data(tmp_path / "one", tmp_path)
    with pytest.raises(DataError, match="holds 12 images but no folder for each class"):
        toys.make_data(tmp_path / "one" / "red", tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 5)), [0] * 4, r"images must be \(rows, height, width\).*got \(4, 5\)"),
        (np.zeros((4, 5, 5, 2), np.uint8), [0] * 4, "1, 3 or 4 channels"),
        (np.zeros((4, 5, 5), np.int64), [0] * 4, "images must be uint8, uint16, booleans or fractions .*got int64"),
        (np.full((4, 5, 5), 255.0), [0] * 4, "images of fractions must lie from 0 to 1; got 255 to 255"),
        (np.zeros((4, 5, 5), np.uint8), [0, 1], "there are 4 images and 2 labels"),
        (np.zeros((0, 5, 5), np.uint8), [], "there are no images in an array"),
    ],
    ids=["flat", "two channels", "int64", "bytes as floats", "labels", "none"],
)
def test_arrays_are_checked(images: Any, labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageData.from_arrays(images, labels)


def test_a_cache_that_cannot_be_written_says_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="set HEADSTART_CACHE or cache= to a folder that can be"):
        toys.make_data(folder, tmp_path / "file")


def test_a_disk_without_room_is_noticed_before_it_is_full(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.vision.store.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="needs up to .* GB, and its disk has 0.0 GB left"):
        toys.make_data(folder, tmp_path)


def test_small_sets_need_no_worker(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.vision.workers.sys.executable", "/bin/false")
    names = sorted(str(path) for path in folder.rglob("*.png"))[:10]
    source = FileImages(names, tmp_path, 2).at(toys.make_data(folder, tmp_path).codec.sizing)
    source.start(np.arange(10))
    assert source.take(np.arange(10)).shape == (10, 3, 32, 32)


def test_a_table_and_its_rows_are_encoded_alike(folder: Path, tmp_path: Path) -> None:
    data = toys.make_data(folder, tmp_path)
    names = sorted(str(path) for path in folder.rglob("*.png"))[10:14]
    rows = pl.DataFrame({"path": names, "label": ["blue", "blue", "red", "red"]})
    encoded = data.codec.encode(rows, with_target=True)
    assert encoded.inputs[0].shape == (4, 3, 32, 32) and encoded.target is not None
    assert encoded.target.tolist() == [0, 0, 1, 1]
    for index, row in enumerate(rows.iter_rows(named=True)):
        assert torch.equal(data.codec.encode_one(row)[0][0], encoded.inputs[0][index])
        assert torch.equal(data.codec.encode_one(row["path"])[0][0], encoded.inputs[0][index])
    with pytest.raises(DataError, match="the row has no 'path'"):
        data.codec.encode_one({"file": names[0]})


def test_a_codec_that_is_given_decides_size_and_augmentation(folder: Path, tmp_path: Path) -> None:
    codec = toys.make_data(folder, tmp_path, size=24, resize="pad", augment="side_on").codec
    assert codec.augment == side_on()
    data = toys.make_data(folder, tmp_path, size=None, codec=codec)
    assert (data.settings.size, data.settings.resize, data.settings.augment) == (24, "pad", side_on())
    assert data.codec is codec and next(data.train.batches(0)).inputs[0].shape[2:] == (24, 24)
    for options in ({"size": 32}, {"size": None, "augment": Augment(flip=0.1)}, {"size": None, "resize": "squish"}):
        with pytest.raises(ConfigError, match="is part of the codec, which was given"):
            toys.make_data(folder, tmp_path, codec=codec, **options)
    with pytest.raises(ConfigError, match="label is part of the codec, which was given, and there it is 'label'"):
        frame = pl.DataFrame({"path": ["a"], "kind": ["red"]})
        ImageData.from_table(frame, "path", "kind", codec=codec, cache=tmp_path, on_error="skip")


def test_further_rows_are_read_as_the_codec_says(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    labels = ["red" if "red" in path.name else "blue|cold" for path in paths]
    rows = [f"{path.with_suffix('')};{label}" for path, label in zip(paths, labels, strict=True)]
    table = tmp_path / "table.csv"
    table.write_text("exported today\n" + "\n".join(["path;label", *rows]) + "\n")
    arguments: dict[str, Any] = {"workers": 0, "cache": tmp_path}
    first = ImageData.from_table(
        table, size=32, separator="|", suffix=".png", csv=CsvOptions(separator=";", skip=1), **arguments
    )
    again = ImageData.from_table(table, codec=first.codec, **arguments)
    assert first.train.target is not None and again.train.target is not None
    assert first.codec.target.classes == ("blue", "cold", "red")
    assert torch.equal(again.train.target, first.train.target)
    plain = pl.DataFrame(
        {"path": [str(path) for path in paths], "label": [label.replace("|", "+") for label in labels]}
    )
    other = ImageData.from_table(plain, codec=first.codec, separator="+", suffix="", **arguments)
    assert other.train.target is not None and torch.equal(other.train.target, first.train.target)


def test_the_settings_are_the_keyword_arguments() -> None:
    names = set(get_type_hints(ImageDataOptions)) - {"codec", "engine"}
    assert names == {option.name for option in options_of(ImageSettings)}
    assert all(len(option.help) > 10 for option in options_of(ImageSettings))
    with pytest.raises(ConfigError, match=r"ImageData.from_arrays has no option 'siez'; did you mean 'size'"):
        ImageData.from_arrays(np.zeros((4, 5, 5), np.uint8), [0, 1, 0, 1], siez=3)  # type: ignore[call-arg]


def test_options_that_belong_to_tables_are_refused_for_folders_and_arrays(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder= and separator= are for tables"):
        toys.make_data(folder, tmp_path, separator=",")
    with pytest.raises(ConfigError, match="where= and group= are for folders and tables"):
        ImageData.from_arrays(*toys.arrays(), where="label = 'red'", cache=tmp_path)


def test_class_weights_weigh_images_and_their_activations() -> None:
    images, labels = toys.arrays()
    labels = [labels[0]] * (len(labels) - 4) + [next(label for label in labels if label != labels[0])] * 4
    data = ImageData.from_arrays(
        images, labels, size=32, batch_size=8, cache=toys.cache(), split=splits.train_on_all, class_weight="balanced"
    )
    weight = data.train.weight
    assert weight is not None and weight.mean() == pytest.approx(1.0)
    often, rare = weight[0], weight[-1]
    assert rare / often == pytest.approx((len(labels) - 4) / 4)
    learner = ImageLearner(data, backbone="resnet18", weights=False, hidden=[], precompute=1, progress="none")
    assert torch.equal(learner.data.train.weight, weight)
    taken = learner.activations.take(data.split.train, np.zeros(len(labels), dtype=np.int64))
    assert data.train.target is not None and learner.model.head.linear_weight is not None
    solved = solve_linear(taken, data.codec.target, data.train.target, weight)
    assert torch.equal(learner.model.head.linear_weight, solved[0])
    assert torch.equal(learner.model.head.linear_bias, solved[1])
    batch = next(learner.data.train.batches(0))
    assert torch.equal(batch.weight, weight[batch.index])
    plain = ImageData.from_arrays(images, labels, size=32, batch_size=8, cache=toys.cache(), split=splits.train_on_all)
    assert plain.train.weight is None and plain.train.fingerprint() != data.train.fingerprint()
