"""Features made of the training rows' targets: what they are, that they leak nothing, and where they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from headstart import ConfigError, DataError, TabularData, TabularLearner, load, splits
from headstart.core.engine import Engine
from headstart.frames.assemble import share
from headstart.tabular.codec import TableCodec
from headstart.tabular.columns import sort_columns
from headstart.tabular.complete_rows import CompleteRows
from headstart.tabular.target_features import CategoryMeans, Neighbours, _folds, nearest_pairs, target_values
from headstart.targets.fit import fit_target

ROWS = 2_000
RANDOM = np.random.default_rng(0)


def town(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """Houses whose price is that of their block, of the street's name, and of their size."""
    random = np.random.default_rng(seed)
    east, north, size = random.uniform(0, 4, rows), random.uniform(0, 4, rows), random.normal(size=rows)
    block = (np.floor(east) + np.floor(north)) % 2
    street = random.integers(0, 40, rows)
    price = 2.0 * block + np.sin(street * 7.0) + 0.3 * size + random.normal(scale=0.1, size=rows)
    return pl.DataFrame(
        {"east": east, "north": north, "size": size, "street": [f"s{n}" for n in street], "price": price}
    )


def fit(frame: pl.DataFrame, target: str = "price", **named: Any) -> TableCodec:
    columns, fitted = sort_columns(frame.drop(target), **named), fit_target(frame, [target])
    targets = target_values(fitted, fitted.encode(frame))
    return TableCodec.fit(CompleteRows.of(frame, columns), columns, fitted, targets=targets)


def made(codec: TableCodec, frame: pl.DataFrame, *, training: bool) -> NDArray[np.float32]:
    """The features alone, ``(rows, features)``."""
    return codec.encode(frame, training=training).inputs[1][:, list(codec.target_feature_indices)].numpy()


def correlation(features: NDArray[np.float32], frame: pl.DataFrame, target: str = "price") -> float:
    """The largest of any feature with the target."""
    values = frame[target].cast(pl.Float64).to_numpy()
    return max(abs(float(np.corrcoef(column, values)[0, 1])) for column in features.T)


TOWN = town()
CODEC = fit(TOWN)


def test_the_coordinates_and_the_category_of_many_values_get_features() -> None:
    neighbours, means = CODEC.target_features
    assert isinstance(neighbours, Neighbours)
    assert isinstance(means, CategoryMeans)
    assert [CODEC.continuous[index].name for index in neighbours.columns] == ["east", "north"]
    assert [column.name for column in CODEC.continuous] == [
        "east", "north", "size", "price near by east and north (4)", "price near by east and north (16)",
        "price near by east and north (64)", "price by street",
    ]  # fmt: skip
    assert CODEC.columns == ("street", "east", "north", "size")
    assert CODEC.numbers == 7


def test_new_rows_get_the_means_of_the_nearest_training_rows() -> None:
    new = town(50, seed=1)
    targets = CODEC.target.encode(TOWN)[:, 0].double().numpy()
    places, asked = (
        np.stack([(frame[name].to_numpy() - column.mean) / column.sd for name, column in zip(
            ["east", "north"], CODEC.continuous, strict=False)], 1).astype(np.float32)
        for frame in (TOWN, new)
    )  # fmt: skip
    for number, size in enumerate((4, 16, 64)):
        column = CODEC.continuous[3 + number]
        for row, feature in zip(asked, made(CODEC, new, training=False)[:, number], strict=True):
            nearest = np.argsort(((places - row) ** 2).sum(1))[:size]
            expected = (targets[nearest].mean() - column.mean) / column.sd
            assert feature == pytest.approx(np.clip(expected, column.lowest, column.highest), abs=1e-5)


def test_new_rows_get_the_shrunk_mean_of_their_category_and_unseen_ones_that_of_all_rows() -> None:
    targets = CODEC.target.encode(TOWN)[:, 0].double().numpy()
    column = CODEC.continuous[6]
    of_street = targets[(TOWN["street"] == "s3").to_numpy()]
    expected = (of_street.sum() + 20 * targets.mean()) / (len(of_street) + 20)
    rows = pl.DataFrame({"east": [1.0] * 2, "north": [1.0] * 2, "size": [0.0] * 2, "street": ["s3", "new"]})
    known, unseen = made(CODEC, rows, training=False)[:, 3]
    assert known == pytest.approx((expected - column.mean) / column.sd, abs=1e-5)
    assert unseen == pytest.approx((targets.mean() - column.mean) / column.sd, abs=1e-5)


def test_a_training_row_does_not_see_its_own_target() -> None:
    changed = TOWN.with_columns(pl.when(pl.int_range(pl.len()) == 5).then(50.0).otherwise("price").alias("price"))
    before, after = (made(CODEC, frame, training=True)[5] for frame in (TOWN, changed))
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(made(CODEC, TOWN, training=True), made(CODEC, changed, training=True)), "others do"


def test_with_a_shuffled_target_the_features_have_no_skill_and_a_planted_leak_is_caught() -> None:
    shuffled = TOWN.with_columns(pl.col("price").shuffle(seed=1))
    codec = fit(shuffled)
    assert not any(isinstance(each, Neighbours) for each in codec.target_features), "no coordinates of noise"
    columns = replace_features(codec, shuffled)
    assert correlation(made(columns, shuffled, training=True), shuffled) < 0.1
    # The leak: features of training rows made as if they were new, of their own targets, too.
    assert correlation(made(columns, shuffled, training=False), shuffled) > 0.3


def replace_features(codec: TableCodec, frame: pl.DataFrame) -> TableCodec:
    """The codec with the features of the town, made of the frame's targets whether they are of use or not."""
    from dataclasses import replace

    encoded = codec.encode(frame, with_target=True)
    targets = target_values(codec.target, encoded.target)
    assert targets is not None
    numbers = encoded.inputs[1].numpy()
    own = codec.continuous[: codec.target_feature_indices.start]
    neighbours = Neighbours.fit(numbers, targets, [0, 1])
    return replace(
        codec,
        continuous=(*own, *CODEC.continuous[3:6], *codec.continuous[codec.target_feature_indices.start :]),
        target_features=(neighbours, *codec.target_features),
    )


def test_a_model_of_a_shuffled_target_is_no_better_and_hardly_worse_than_the_mean() -> None:
    shuffled = TOWN.with_columns(pl.col("price").shuffle(seed=2))
    data = TabularData.from_table(shuffled, "price", split=splits.by_random(0.25), batch_size=250)
    learner = TabularLearner(data, progress="none")
    learner.fit_one_cycle(2)
    deviation = float(np.std(shuffled["price"].to_numpy()))
    assert 0.95 * deviation < learner.validate()["rmse"] < 1.1 * deviation


def test_a_map_is_learnt_far_better_with_the_neighbours() -> None:
    def error(*, target_features: bool) -> float:
        data = TabularData.from_table(TOWN, "price", batch_size=100, target_features=target_features)
        learner = TabularLearner(data, progress="none")
        learner.fit_one_cycle(3)
        return learner.validate()["rmse"]

    assert error(target_features=True) < 0.75 * error(target_features=False)


def test_one_row_is_encoded_to_the_bit_as_in_a_table() -> None:
    new = town(40, seed=3).drop("price")
    _, numbers = CODEC.encode(new).inputs
    for index, row in enumerate(new.iter_rows(named=True)):
        assert torch.equal(CODEC.encode_one(row)[1][0], numbers[index])


def test_what_is_saved_gives_the_same_bits(tmp_path: Any) -> None:
    learner = TabularLearner(TabularData.from_table(TOWN, "price", batch_size=500), progress="none")
    learner.save(tmp_path / "town")
    loaded = load(tmp_path / "town")
    assert loaded.codec == learner.codec
    assert len({hash(loaded.codec.target_features), hash(learner.codec.target_features)}) == 1
    new = town(40, seed=3)
    assert loaded.predict(new).equals(learner.predict(new))
    assert fit(town(seed=9)) != CODEC
    assert CODEC.target_features[0] != CODEC.target_features[1]


def test_a_codec_with_tensors_is_shared_among_processes() -> None:
    class Two(Engine):
        world_size = 2

        def from_main(self, value: Any) -> Any:
            import json

            return json.loads(json.dumps(value))

    assert share(CODEC, TableCodec, Two("cpu")) == CODEC


def test_rows_that_a_model_goes_on_training_with_see_each_other_out_of_fold() -> None:
    more = town(1_000, seed=4)
    data = TabularData.from_table(more, "price", codec=CODEC, split=splits.train_on_all)
    assert torch.equal(data.train.inputs[1][:, 3:], torch.from_numpy(made(CODEC, more, training=True)))


@pytest.mark.parametrize("rows", [60, 20, 2])
def test_of_few_rows_to_go_on_with_all_others_are_neighbours(rows: int) -> None:
    """A fold of 60 rows leaves 48, fewer than the 64 nearest; one of 2 rows leaves a single one."""
    few = town(rows, seed=3)
    data = TabularData.from_table(few, "price", codec=CODEC, split=splits.train_on_all)
    targets = CODEC.target.encode(few)[:, 0].double().numpy()
    features, column = data.train.inputs[1][:, list(CODEC.target_feature_indices)].cpu().numpy(), CODEC.continuous[5]
    for fold, others in _folds(rows):
        expected = (targets[others].mean() - column.mean) / column.sd
        assert features[fold, 2] == pytest.approx(np.clip(expected, column.lowest, column.highest), abs=1e-5)


def test_a_row_alone_has_the_features_of_a_new_one() -> None:
    np.testing.assert_array_equal(made(CODEC, TOWN[:1], training=True), made(CODEC, TOWN[:1], training=False))


def test_repeated_rows_are_counted_although_their_features_differ() -> None:
    data = TabularData.from_table(TOWN, "price", valid=TOWN[:30])
    assert data.repeated == 30


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_classes_give_their_shares_up_to_ten_of_them(classes: int) -> None:
    frame = TOWN.with_columns((pl.col("price").rank("ordinal") * classes // (ROWS + 1)).cast(pl.String).alias("price"))
    codec = fit(frame)
    names = [column.name for column in codec.continuous[codec.target_feature_indices.start :]]
    assert (
        names
        == {
            2: [
                "price = 1 near by east and north (4)",
                "price = 1 near by east and north (16)",
                "price = 1 near by east and north (64)",
                "price = 1 by street",
            ],
            3: ["price = 0 by street", "price = 1 by street", "price = 2 by street"],  # blocks explain less of each
            11: [],
        }[classes]
    )


def test_several_numbers_give_the_means_of_each() -> None:
    frame = TOWN.with_columns(other=-pl.col("price"))
    columns = sort_columns(frame.drop("price", "other"))
    target = fit_target(frame, ["price", "other"])
    targets = target_values(target, target.encode(frame))
    codec = TableCodec.fit(CompleteRows.of(frame, columns), columns, target, targets=targets)
    assert [column.name for column in codec.continuous[-2:]] == ["price by street", "other by street"]


def test_numbers_whose_effects_add_up_are_no_coordinates_nor_are_few_rows_looked_at() -> None:
    one, other = RANDOM.normal(size=(2, ROWS))
    numbers = np.stack([one, other], 1).astype(np.float32)
    assert nearest_pairs(numbers, (one + other)[:, None].astype(np.float32), [0, 1]) == []
    assert nearest_pairs(numbers, (np.sign(one * other))[:, None].astype(np.float32), [0, 1]) == [(0, 1)]
    assert fit(TOWN[:499]).target_features == ()


def test_a_target_that_does_not_vary_has_no_coordinates() -> None:
    constant = TOWN.select("east", "north", price=pl.lit(3.0))
    assert fit(constant).target_features == ()  # a warning of numpy is an error here


def test_features_can_be_left_out_and_a_codec_has_settled_that() -> None:
    codec = TabularData.from_table(TOWN, "price", target_features=False).codec
    assert codec.target_features == ()
    with pytest.raises(ConfigError, match="target_features is part of the codec"):
        TabularData.from_table(TOWN, "price", codec=codec, target_features=False)


def test_importance_makes_the_features_again_and_none_can_be_asked_for_itself() -> None:
    learner = TabularLearner(TabularData.from_table(TOWN, "price", batch_size=100), progress="none")
    learner.fit_one_cycle(3)
    table = learner.feature_importance(repeats=1).frame()
    importance = dict(table.select("column", "importance").iter_rows())
    assert importance["east"] > 3 * abs(importance["size"]) / 2 and importance["street"] > 0.05
    dependence = learner.partial_dependence("east", values=5).frame()
    assert dependence["prediction"].max() - dependence["prediction"].min() > 0.01
    with pytest.raises(ConfigError, match="the model has no column 'price by street'"):
        learner.feature_importance(["price by street"])


def test_targets_that_are_missing_are_named_in_training() -> None:
    with pytest.raises(DataError, match="price"):
        CODEC.encode(TOWN.with_columns(price=pl.lit(None, pl.Float64)), training=True)
