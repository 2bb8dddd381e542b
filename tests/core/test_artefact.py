"""Artefacts: whole or not at all, and refused when they are not what was saved."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from headstart.core import artefact as saving
from headstart.core.artefact import FORMAT, load_weights, pack, read_folder, reading, unpack, write_folder
from headstart.core.errors import ArtifactError

WEIGHTS = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}
RECORD = {"application": "test", "text": "Zürich ≥ 1", "nested": {"numbers": [1, 2.5, None, True]}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_folder(tmp_path / "model", "learner", RECORD, WEIGHTS)
    return tmp_path / "model"


def check_whole(folder: Path, record: dict[str, Any] = RECORD) -> None:
    """That the folder reads, and that nothing else lies beside it."""
    read, tensors = read_folder(folder, "learner")
    assert {name: read[name] for name in record} == record
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == ["learner.json", "weights.safetensors"]


# ---- what comes back


def test_a_save_comes_back_and_nothing_lies_beside_it(saved: Path) -> None:
    check_whole(saved)
    assert json.loads((saved / "learner.json").read_text(encoding="utf-8"))["format"] == FORMAT


def test_a_later_save_replaces_an_earlier_one_whole(saved: Path) -> None:
    write_folder(saved, "learner", {"application": "other"}, WEIGHTS)
    check_whole(saved, {"application": "other"})
    assert "nested" not in read_folder(saved, "learner")[0]


def test_missing_parents_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deeper" / "model"
    write_folder(folder, "learner", RECORD, WEIGHTS)
    check_whole(folder)


def test_through_a_link_its_target_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "model", tmp_path / "link"
    write_folder(real, "learner", {"application": "old"}, WEIGHTS)
    link.symlink_to(real)
    write_folder(link, "learner", RECORD, WEIGHTS)
    check_whole(real)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_the_umask_says_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_folder(tmp_path / "model", "learner", RECORD, WEIGHTS)
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "model" / "learner.json").stat().st_mode & 0o777 == 0o640


def test_tied_tensors_are_stored_once_and_come_back_both(tmp_path: Path) -> None:
    embedding, decoder = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    decoder.weight = embedding.weight
    model = nn.ModuleDict({"embedding": embedding, "decoder": decoder})
    write_folder(tmp_path / "model", "learner", {}, model.state_dict())
    assert list(load_file(tmp_path / "model" / "weights.safetensors")) == ["embedding.weight"]
    _, tensors = read_folder(tmp_path / "model", "learner")
    assert torch.equal(tensors["decoder.weight"], embedding.weight)
    assert torch.equal(tensors["embedding.weight"], embedding.weight)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3, 0),
        torch.tensor(2.5),
        torch.tensor([True, False]),
        torch.tensor([1.5, math.nan, -math.inf]),
        torch.arange(4, dtype=torch.uint8),
        torch.arange(4).bfloat16(),
        torch.arange(12.0).reshape(3, 4).T,
        torch.arange(12.0)[2:8:2],
        torch.ones(2, 1).expand(2, 3),
        nn.Parameter(torch.ones(2)),
    ],
    ids=["empty", "scalar", "bool", "nan", "uint8", "bfloat16", "transposed", "view", "expanded", "parameter"],
)
def test_every_sort_of_tensor_comes_back_to_the_bit(tensor: Tensor, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "learner", {}, {"tensor": tensor, "neighbour": torch.zeros(3, 0)})
    read = read_folder(tmp_path / "model", "learner")[1]["tensor"]
    assert read.dtype == tensor.dtype
    torch.testing.assert_close(read, tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_a_view_does_not_drag_along_what_lies_behind_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "learner", {}, {"view": torch.zeros(1_000_000)[:10]})
    assert (tmp_path / "model" / "weights.safetensors").stat().st_size < 1000


def test_overlapping_views_that_are_not_the_same_are_stored_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    write_folder(tmp_path / "model", "learner", {}, {"a": whole[:4], "b": whole[:3], "c": whole.reshape(2, 3)})
    tensors = read_folder(tmp_path / "model", "learner")[1]
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "a": [0, 1, 2, 3],
        "b": [0, 1, 2],
        "c": [[0, 1, 2], [3, 4, 5]],
    }


# ---- what is not what was saved


def alter_json(**changes: Any) -> Callable[[Path], None]:
    def alter(folder: Path) -> None:
        path = folder / "learner.json"
        record = json.loads(path.read_text()) | changes
        path.write_text(json.dumps(record | {"record_sha256": saving.record_sha256(record)}))

    return alter


def alter_weights(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def alter(folder: Path) -> None:
        path = folder / "weights.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return alter


def forge_weights(folder: Path) -> None:
    """Nonsense with the right checksum."""
    (folder / "weights.safetensors").write_bytes(b"nonsense")
    alter_json(weights_sha256=saving._sha256(folder / "weights.safetensors"))(folder)


ALTERED = r"weights\.safetensors is not the file that was saved with learner\.json: it was cut short or altered"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (alter_weights(lambda content: content[:-4]), ALTERED),
        (alter_weights(lambda content: content[:50]), ALTERED),
        (alter_weights(lambda content: b""), ALTERED),
        (alter_weights(lambda content: content[:-1] + bytes([content[-1] ^ 1])), ALTERED),
        (alter_weights(lambda content: content + b"\0"), ALTERED),
        (alter_json(weights_sha256=None), ALTERED),
        (forge_weights, r"weights\.safetensors cannot be read .*it was cut short or altered; restore it"),
        (alter_json(aliases={"tied": "nowhere"}), r"weights\.safetensors cannot be read \('nowhere'\)"),
        (alter_json(aliases={"tied": ["weight"]}), r"weights\.safetensors cannot be read \(unhashable"),
        (alter_json(aliases=["weight"]), r"weights\.safetensors cannot be read"),
        (alter_json(format=FORMAT + 1), rf"has format {FORMAT + 1}, and this headstart reads up to {FORMAT}: upgrade"),
        (alter_json(format="1"), r"learner\.json has no format version, so headstart did not write it"),
        (alter_json(format=True), r"learner\.json has no format version"),
        (lambda folder: (folder / "learner.json").write_text("[1, 2]"), r"learner\.json has no format version"),
        (lambda folder: (folder / "learner.json").write_text('{"format": 1'), r"cannot be read .*cut short or altered"),
        (lambda folder: (folder / "learner.json").write_text(""), r"learner\.json cannot be read"),
        (lambda folder: (folder / "learner.json").write_bytes(b"\xff\xfe"), r"learner\.json cannot be read"),
        (lambda folder: (folder / "learner.json").write_text("[" * 100_000), r"learner\.json cannot be read"),
        (lambda folder: (folder / "learner.json").unlink(), r"has no learner\.json, so nothing of that kind"),
        (lambda folder: (folder / "weights.safetensors").unlink(), r"has no weights\.safetensors; the save was not"),
    ],
)  # fmt: skip
def test_a_damaged_save_is_refused_with_the_file_and_what_to_do(
    saved: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(saved)
    with pytest.raises(ArtifactError, match=message):
        read_folder(saved, "learner")


def test_a_record_that_was_altered_is_refused(saved: Path) -> None:
    text = (saved / "learner.json").read_text()
    (saved / "learner.json").write_text(text.replace('"test"', '"text"'))
    with pytest.raises(ArtifactError, match=r"learner\.json is not as it was saved: it was altered; restore it"):
        read_folder(saved, "learner")
    (saved / "learner.json").write_text(json.dumps(json.loads(text)))  # the same in another layout
    assert read_folder(saved, "learner")[0]["application"] == "test"


def test_a_format_that_was_never_released_is_refused(saved: Path) -> None:
    alter_json(format=1)(saved)
    with pytest.raises(ArtifactError, match="format 1, which was never released and is no longer read: train again"):
        read_folder(saved, "learner")


def test_others_may_read_what_was_saved(saved: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in saved.iterdir()} == {0o666 & ~mask}


def test_a_folder_that_is_not_there_or_a_file_or_of_another_kind_is_refused(saved: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"there is no folder .*nowhere; give the folder that save\(\) or --out wrote"
    ):
        read_folder(saved / "nowhere", "learner")
    with pytest.raises(ArtifactError, match=r"there is no folder .*learner\.json"):
        read_folder(saved / "learner.json", "learner")
    with pytest.raises(ArtifactError, match=r"has no checkpoint\.json, so nothing of that kind was saved there"):
        read_folder(saved, "checkpoint")


def test_a_record_that_lacks_a_key_is_refused(saved: Path) -> None:
    with pytest.raises(ArtifactError, match=r"the record in .*model is incomplete or altered \(KeyError: 'codec'\)"):  # noqa: SIM117
        with reading(saved):
            read_folder(saved, "learner")[0]["codec"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.zeros(2, 3)}, r"the weights in .*do not fit the model: .*Missing key.*\"bias\""),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, r"do not fit the model: .*size mismatch for weight"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "x": torch.zeros(1)}, r"Unexpected key.*\"x\""),
    ],
)
def test_weights_of_another_model_are_refused(tensors: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        load_weights(nn.Linear(3, 2), tensors, tmp_path)


# ---- where it cannot be written


def test_a_folder_with_other_files_is_refused_and_they_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        ArtifactError, match=r"cannot save to .*: it holds other files \(notes\.txt\); give a new or em"
    ):
        write_folder(tmp_path, "learner", RECORD, WEIGHTS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_save_of_another_kind_is_not_replaced(saved: Path) -> None:
    with pytest.raises(ArtifactError, match=r"it holds other files \(learner\.json\)"):
        write_folder(saved, "checkpoint", {}, WEIGHTS)
    check_whole(saved)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_folder(tmp_path / "model", "learner", RECORD, WEIGHTS)
    check_whole(tmp_path / "model")


def test_a_file_in_the_place_of_the_folder_or_of_its_parent_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ArtifactError, match=r"cannot save to .*file: it is a file; give a folder"):
        write_folder(file, "learner", RECORD, WEIGHTS)
    with pytest.raises(ArtifactError, match=r"cannot save to .*model: .*Not a directory"):
        write_folder(file / "model", "learner", RECORD, WEIGHTS)
    assert file.read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, where not even root can write")
def test_an_unwritable_place_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"cannot save to /proc/model: .*check that the folder is writable"):
        write_folder(Path("/proc/model"), "learner", RECORD, WEIGHTS)


# ---- crashes


def fail(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def half_a_file(_: Any, path: Path) -> None:
    path.write_bytes(b"half")
    fail()


CRASHES = [
    pytest.param("headstart.core.artefact.save_file", half_a_file, id="weights"),
    pytest.param("pathlib.Path.write_text", fail, id="record"),
    pytest.param("os.fsync", fail, id="flush"),
    pytest.param("headstart.core.artefact._swap", fail, id="swap"),
]


@pytest.mark.parametrize(("where", "crash"), CRASHES)
def test_a_failure_on_the_way_leaves_the_old_save_whole_and_nothing_else(
    saved: Path, where: str, crash: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, crash)
    with pytest.raises(
        ArtifactError, match=r"cannot save to .*model: .*No space left on device.*the disk has free space"
    ):
        write_folder(saved, "learner", {"application": "new"}, {"other": torch.zeros(3)})
    monkeypatch.undo()
    check_whole(saved)


@pytest.mark.parametrize(("where", "crash"), CRASHES)
def test_a_failure_of_the_first_save_leaves_nothing(
    tmp_path: Path, where: str, crash: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, crash)
    with pytest.raises(ArtifactError, match="No space left"):
        write_folder(tmp_path / "model", "learner", RECORD, WEIGHTS)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_the_old_save_whole_as_well(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headstart.core.artefact.save_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_folder(saved, "learner", {}, {})
    monkeypatch.undo()
    check_whole(saved)


def test_a_number_that_json_cannot_hold_does_not_spoil_the_old_save(saved: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_folder(saved, "learner", {"loss": math.nan}, WEIGHTS)
    check_whole(saved)


def test_without_an_exchange_two_renames_do_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    write_folder(saved, "learner", {"application": "new"}, WEIGHTS)
    check_whole(saved, {"application": "new"})


def test_if_the_second_rename_fails_the_old_save_is_put_back(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, calls = Path.rename, iter([True, False, True])
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Path, "rename", lambda path, to: rename(path, to) if next(calls) else fail())
    with pytest.raises(ArtifactError, match="No space left"):
        write_folder(saved, "learner", {"application": "new"}, WEIGHTS)
    monkeypatch.undo()
    check_whole(saved)


def start_saving(folder: Path, first: int) -> int:
    """Starts a process that saves ``first``, ``first + 1`` and so on without end; gives its id."""
    process = os.fork()
    if process:
        return process
    try:
        for number in itertools.count(first):
            write_folder(folder, "learner", {"number": number}, {"number": torch.full((2000,), float(number))})
    finally:
        os._exit(1)


def saved_number(folder: Path) -> int:
    record, tensors = read_folder(folder, "learner")
    assert set(tensors["number"].tolist()) == {record["number"]}
    return record["number"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_killed_process_leaves_a_readable_save(tmp_path: Path) -> None:
    last = 0
    for kill in range(5):
        write_folder(tmp_path / "model", "learner", {"number": last}, {"number": torch.full((2000,), float(last))})
        process = start_saving(tmp_path / "model", last + 1)
        time.sleep(0.05 + 0.0137 * kill)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        number = saved_number(tmp_path / "model")
        assert number >= last
        last = number
    assert last > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_reader_beside_a_writer_never_mixes_two_saves(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "learner", {"number": 0}, {"number": torch.zeros(2000)})
    process = start_saving(tmp_path / "model", 1)
    seen: set[int] = set()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        try:
            seen.add(saved_number(tmp_path / "model"))
        except ArtifactError as error:
            assert "is not the file that was saved" in str(error)  # the folder changed between its two files
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert len(seen) > 1


# ---- nested state

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
STATES = st.recursive(
    LEAVES | st.lists(st.floats(width=32), max_size=3).map(torch.tensor),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=3) | st.sampled_from(["a", "a.b", "b"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one.nan_to_num(7), other.nan_to_num(7))
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


@given(STATES)
def test_nested_state_comes_back_with_its_types(state: Any) -> None:
    tensors: dict[str, Tensor] = {}
    packed = json.loads(json.dumps(pack(state, tensors, "state"), allow_nan=False))
    assert same(unpack(packed, tensors), state)


def test_an_optimizers_state_comes_back_through_a_folder(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.9))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tensors: dict[str, Tensor] = {}
    record = {"optimizer": pack(optimizer.state_dict(), tensors, "optimizer")}
    write_folder(tmp_path / "checkpoint", "checkpoint", record, tensors)
    read, found = read_folder(tmp_path / "checkpoint", "checkpoint")
    assert same(unpack(read["optimizer"], found), optimizer.state_dict())


def test_names_that_look_the_same_do_not_overwrite_each_other() -> None:
    state = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), 1: torch.ones(1) * 2, "1": torch.ones(1) * 3}
    tensors: dict[str, Tensor] = {}
    assert same(unpack(pack(state, tensors, "state"), tensors), state)
    assert len(tensors) == 4


def test_numpys_numbers_are_numbers() -> None:
    assert unpack(json.loads(json.dumps(pack([np.float64(1.5), np.float64("inf")], {}, "state"))), {}) == [
        1.5,
        math.inf,
    ]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"seen": {1, 2}}, r"state\.seen is a set; state may hold tensors, numbers, text and their lists"),
        ([object()], r"state\.0 is a object"),
        ({"n": np.int64(1)}, r"state\.n is a int64"),
        ({"a": {(1, 2): 3}}, r"state\.a has the key \(1, 2\); keys of state may be text and whole numbers"),
    ],
)
def test_state_that_cannot_be_saved_is_named(state: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        pack(state, {}, "state")


def test_a_strangers_file_in_the_place_of_the_weights_is_not_run(saved: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, saved / "weights.safetensors")
    alter_json(weights_sha256=saving._sha256(saved / "weights.safetensors"))(saved)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors cannot be read"):
        read_folder(saved, "learner")
    save_file({"weight": torch.zeros(2)}, saved / "weights.safetensors")
    alter_json(weights_sha256=saving._sha256(saved / "weights.safetensors"))(saved)
    assert read_folder(saved, "learner")[1]["weight"].tolist() == [0, 0]
