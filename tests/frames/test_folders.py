"""One walk for texts and images: which files, which class, which part; what is hidden, linked or zipped."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl
import pytest

from headstart import ConfigError, DataError
from headstart.frames.folders import is_folder, labelled_files, opened_folder, parts_of_files, walk

TEXTS = {".txt"}


def make(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("a text")
    return root


def labels(table: pl.DataFrame) -> set[str]:
    return set(table["label"])


def test_hidden_files_are_skipped_and_counted_and_capitals_of_endings_do_not_matter(tmp_path: Path) -> None:
    make(tmp_path, "pos/1.txt", "pos/2.TXT", "neg/3.txt", "neg/notes.md")
    make(
        tmp_path,
        ".ipynb_checkpoints/1-checkpoint.txt",
        "pos/._1.txt",
        "__MACOSX/pos/1.txt",
        "neg/Thumbs.db",
        ".DS_Store",
    )
    found = walk(tmp_path, TEXTS)
    assert found.files == (("neg", "3.txt"), ("pos", "1.txt"), ("pos", "2.TXT"))
    assert found.hidden == (".DS_Store", ".ipynb_checkpoints", "__MACOSX", "neg/Thumbs.db", "pos/._1.txt")
    table, notes = labelled_files(tmp_path, TEXTS, "texts")
    assert labels(table) == {"pos", "neg"} and "split" not in table.columns
    assert notes == [
        "1 file whose ending is not among those of texts was left out",
        "5 hidden files and folders were skipped, such as .DS_Store",
    ]


@pytest.mark.parametrize(("train", "valid"), [
    ("train", "test"), ("training", "validation"), ("Train", "Val"), ("train", "dev"), ("TRAIN", "valid"), ("training", "testing"),
])  # fmt: skip
@pytest.mark.parametrize(
    "layout", ["{part}/{label}/{n}.txt", "{label}/{part}/{n}.txt", "photos/{part}/{label}/{n}.txt"]
)
def test_usual_names_of_a_split(tmp_path: Path, train: str, valid: str, layout: str) -> None:
    names = [(part, label, n) for part in (train, valid) for label in ("cat", "dog") for n in range(2)]
    make(tmp_path, *(layout.format(part=part, label=label, n=n) for part, label, n in names))
    table, notes = labelled_files(tmp_path, TEXTS, "texts")
    assert labels(table) == {"cat", "dog"} and len(table) == 8
    assert set(table.filter(pl.col("split") == "valid")["path"].str.contains(valid)) == {True}
    assert (table["split"] == "valid").sum() == 4
    assert notes == [f"the texts in '{valid.lower()}' validate; those in '{train.lower()}' train"]


def test_a_third_part_is_left_out_and_said(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(f"{part}/{label}/1.txt" for part in ("train", "valid", "test") for label in ("a", "b")),
        "train/x.txt",
    )
    table, notes = labelled_files(tmp_path, TEXTS, "texts")
    assert table["part"].to_list() == ["train", "train", "valid", "valid"]
    assert notes[1:] == [
        "1 texts lie in no class's folder and were left out, such as train/x.txt",
        "2 texts beside these parts were left out, such as test/a/1.txt",
    ]
    by_hand, _ = labelled_files(tmp_path, TEXTS, "texts", valid="test")
    assert by_hand.filter(split="valid")["part"].unique().to_list() == ["test"] and len(by_hand) == 6


def test_a_corpus_without_labels_keeps_other_folders_for_training(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.txt", "valid/2.txt", "test/3.txt", "unsup/4.txt", "5.txt")
    table, notes = parts_of_files(tmp_path, TEXTS, "texts")
    assert dict(zip(table["path"], table["split"], strict=True)) == {
        "5.txt": "train", "train/a/1.txt": "train", "unsup/4.txt": "train", "valid/2.txt": "valid",
    }  # fmt: skip
    assert notes == [
        "the texts in 'valid' validate; all others train",
        "1 texts of a further part were left out: they are for a test",
    ]


def test_folders_of_the_same_names_everywhere_are_a_question(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(f"{site}/{label}/{n}.txt" for site in ("north", "south") for label in ("cat", "dog") for n in (1, 2)),
    )
    with pytest.raises(DataError, match=(
        "each of the folders north, south holds folders named cat, dog: which are the classes\\? .*"
        "label_folder='first' .*label_folder='last' \\(--label-folder last\\), and valid='south'"
    )):  # fmt: skip
        labelled_files(tmp_path, TEXTS, "texts")
    assert labels(labelled_files(tmp_path, TEXTS, "texts", label_folder="first")[0]) == {"north", "south"}
    assert labels(labelled_files(tmp_path, TEXTS, "texts", label_folder="last")[0]) == {"cat", "dog"}
    told, _ = labelled_files(tmp_path, TEXTS, "texts", valid="south")
    assert labels(told) == {"cat", "dog"} and told.filter(split="valid")["part"].unique().to_list() == ["south"]
    for classes, first in ((["cat", "dog"], "cat"), (["north", "south"], "north")):  # a trained model knows
        assert labelled_files(tmp_path, TEXTS, "texts", classes=classes)[0]["label"][0] == first
    with pytest.raises(ConfigError, match="label_folder must be 'first' or 'last'; got 'middle'"):
        labelled_files(tmp_path, TEXTS, "texts", label_folder="middle")  # type: ignore[arg-type]  # it is refused


def test_folders_inside_a_class_belong_to_it(tmp_path: Path) -> None:
    make(tmp_path, "cat/persian/1.txt", "cat/siamese/2.txt", "dog/3.txt", "dog/beagle/4.txt")
    assert labelled_files(tmp_path, TEXTS, "texts")[0]["label"].to_list() == ["cat", "cat", "dog", "dog"]
    assert labels(labelled_files(make(tmp_path / "x", "cat/images/1.txt", "dog/images/1.txt"), TEXTS, "texts")[0]) == {
        "cat",
        "dog",
    }


def test_links_are_visited_once(tmp_path: Path) -> None:
    root = make(tmp_path / "root", *(f"{label}/{n}.txt" for label in ("cat", "dog") for n in range(8)))
    make(tmp_path, "beside/1.txt")
    (root / "above").symlink_to(tmp_path)  # would hold the root again
    (root / "cat" / "itself").symlink_to(root)
    (root / "a_link").symlink_to(root / "dog")
    found = walk(root, TEXTS)
    assert len(found.files) == 16 and set(found.links) == {"above", "a_link", "cat/itself"}
    (root / "fox").symlink_to(tmp_path / "beside")  # a linked folder from elsewhere is read
    assert ("fox", "1.txt") in walk(root, TEXTS).files and len(walk(root, TEXTS).files) == 17


def test_decomposed_names_of_a_mac_are_composed(tmp_path: Path) -> None:
    make(tmp_path, "Ka\u0308fer/1.txt", "dog/1.txt")
    assert labels(labelled_files(tmp_path, TEXTS, "texts")[0]) == {"K\u00e4fer", "dog"}


class MacEntry(zipfile.ZipInfo):
    """A name in UTF-8, without the flag that says so, as the Finder writes it."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(), self.flag_bits & ~0x800


def test_a_folder_zipped_on_a_mac(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("photos/Ka\u0308fer/1.txt", "photos/dog/2.TXT", "__MACOSX/photos/dog/._2.TXT", "photos/.DS_Store"):
            archive.writestr(MacEntry(name), "a text")
        archive.writestr("../photos/fox/3.txt", "inside all the same")
    assert zipfile.ZipFile(path).namelist()[0] != "photos/Ka\u0308fer/1.txt"  # read as another encoding
    assert is_folder(path)
    folder = opened_folder(path, tmp_path / "cache")
    assert folder == opened_folder(path, tmp_path / "cache")  # once
    assert not (tmp_path / "photos").exists() and not (tmp_path / "cache" / "photos").exists()
    table, notes = labelled_files(folder, TEXTS, "texts")
    assert labels(table) == {"K\u00e4fer", "dog", "fox"}
    assert notes == ["1 hidden files and folders were skipped, such as photos/.DS_Store"]


def test_what_is_no_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "table.zip", "w") as archive:
        archive.writestr("sales.csv", "a,b\n1,2\n")
    assert not is_folder(tmp_path / "table.zip") and not is_folder(tmp_path / "nowhere") and not is_folder(3)
    for name, of_a_table in (("a.feather", True), ("in/a.CSV.gz", True), ("pos/1.txt", False), (".a.csv", False)):
        with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
            archive.writestr(name, "a\n1\n")
        assert is_folder(tmp_path / "one.zip") != of_a_table
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "a.txt").write_text("")
    for path, said in (
        ("broken.zip", "cannot be unpacked"),
        ("a.txt", "is a file; expected a folder"),
        ("no", "there is no folder"),
    ):
        with pytest.raises(DataError, match=said):
            opened_folder(tmp_path / path, tmp_path / "cache")
    with pytest.raises(DataError, match="holds no texts; known endings are .txt"):
        labelled_files(make(tmp_path / "images", "x/1.png"), TEXTS, "texts")
