"""What a learner of texts is made of: sizes settled by the data, trainings of their own, plans, starts, no validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import headstart
from headstart import ConfigError, DataError, Engine, LanguageModelData, LanguageModelLearner, TextData, TextLearner
from headstart.core.values import from_json, options_of, to_json
from headstart.frames.splits import by_indices, train_on_all
from headstart.text import Dropouts, TextCodec, Vocabulary, WordTokenizer
from headstart.text.corpus_data import CorpusSettings
from headstart.text.data import TextSettings
from headstart.text.design import (
    CLASSIFIER_DROPOUTS,
    LanguageModelDesign,
    LanguageModelTraining,
    TextDesign,
    TextTraining,
    suggested_dropout,
)
from headstart.text.language_model_data import LanguageModelSettings
from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokens import SPECIALS
from headstart.text.transformer_learner import TransformerDesign, TransformerLearner, TransformerTraining
from headstart.training.optim import AdamW
from headstart.training.settings import Plan, Training

CPU = Engine("cpu")
TEXTS = [f"the {word} film was {'not ' * (n % 2)}{'good' if n % 3 else 'bad'} ." for n, word in enumerate(
    ["old", "new", "long", "short"] * 8
)]  # fmt: skip
LABELS = ["neg" if n % 3 else "pos" for n in range(len(TEXTS))]
TABLE = pl.DataFrame({"text": TEXTS, "label": LABELS})
TINY = {"embedding_size": 8, "hidden": 12, "layers": 1, "progress": "none"}


def streams(**options: object) -> LanguageModelData:
    return LanguageModelData.from_texts(TEXTS, valid=TEXTS[:8], min_freq=1, batch_size=4, engine=CPU, **options)


def texts(**options: object) -> TextData:
    return TextData.from_table(TABLE, "text", "label", valid=TABLE[:8], engine=CPU, **options)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LanguageModelLearner(streams(backward=True), **TINY).save(tmp_path_factory.mktemp("start") / "lm")


# ---- design


def test_sizes_are_settled_by_the_device_and_dropout_by_the_amount_of_text() -> None:
    usual = LanguageModelDesign()
    assert usual.settled("cpu", 5001, 999_999) == LanguageModelDesign(
        embedding_size=160, hidden=320, layers=2, dropout=0.5, sampled=1000
    )
    assert usual.settled("cuda", 5001, 1_000_000) == LanguageModelDesign(
        embedding_size=400, hidden=1152, layers=3, dropout=0.1, sampled=0
    )
    assert usual.settled("cpu", 5000, 30_000_000).sampled == 0
    chosen = LanguageModelDesign(hidden=50, dropout=0.0, sampled=7)
    assert chosen.settled("cpu", 9000, 10) == dataclasses.replace(chosen, embedding_size=160, layers=2)
    assert [suggested_dropout(tokens) for tokens in (10, 29_999_999, 30_000_000, None)] == [0.5, 0.1, 0.3, 1.0]
    assert TextDesign().with_sizes("cpu") == TextDesign(embedding_size=64, hidden=96, layers=2, dropout=0.6)
    assert TextDesign().with_sizes("mps") == TextDesign(embedding_size=400, hidden=1152, layers=3)


def test_python_s_default_network_is_the_command_s() -> None:
    learner = TextLearner(texts(), progress="none")
    assert learner.design == TextDesign(embedding_size=64, hidden=96, layers=2, dropout=0.6, apart=False)
    assert learner.model.encoder.dropouts == CLASSIFIER_DROPOUTS.times(0.6)
    assert learner.model.encoder.embedding.embedding_dim == 64 and len(learner.model.encoder.layers) == 2
    writer = LanguageModelLearner(streams(), progress="none")
    assert (writer.design.embedding_size, writer.design.hidden, writer.design.layers) == (160, 320, 2)
    assert (writer.design.dropout, writer.design.sampled) == (0.5, 0) and writer.model.sampled is None


def test_a_settled_design_stays_as_it_is_without_data() -> None:
    codec = streams().codec
    learner = LanguageModelLearner(codec, design=LanguageModelDesign(embedding_size=8, hidden=9, dropout=0.2))
    assert learner.design == LanguageModelDesign(embedding_size=8, hidden=9, layers=2, dropout=0.2, sampled=0)
    assert learner.generate("the", 3, seed=0) and learner.data is None
    with pytest.raises(ConfigError, match="give embedding_size, hidden, layers and dropout"):
        LanguageModelDesign().network(codec, 0)
    with pytest.raises(ConfigError, match="dropout must be 0 or more and below 1"):
        TextLearner(texts(), dropout=2.0)
    with pytest.raises(ConfigError, match="hidden must be a whole number of at least 1"):
        TextLearner(texts(), hidden=0)


def test_each_option_is_documented() -> None:
    kinds = (
        LanguageModelDesign, TextDesign, TransformerDesign, LanguageModelTraining, TextTraining, TransformerTraining,
        CorpusSettings, TextSettings, LanguageModelSettings,
    )  # fmt: skip
    for kind in kinds:
        for option in options_of(kind):
            assert option.help.endswith(".") and len(option.help) > 10, f"{kind.__name__}.{option.name}"


# ---- training


def test_each_kind_of_network_has_a_training_of_its_own(tmp_path: Path) -> None:
    recurrent = {"optimizer": AdamW(betas=(0.7, 0.99)), "momenta": (0.8, 0.7, 0.8), "alpha": 2.0, "beta": 1.0}
    for training, clip in ((LanguageModelTraining(), 0.3), (TextTraining(), 25.0)):
        assert {name: getattr(training, name) for name in recurrent} == recurrent and training.clip == clip
    transformer = TransformerTraining()
    assert (transformer.momenta, transformer.optimizer, transformer.clip) == ((0.95, 0.85, 0.95), AdamW(), 1.0)
    assert TransformerLearner.training_type is TransformerTraining and not transformer.callbacks()
    with pytest.raises(ConfigError, match="training must be a TextTraining; got a Training"):
        TextLearner(texts(), training=Training())


def test_a_loaded_learner_keeps_its_penalties(tmp_path: Path) -> None:
    learner = LanguageModelLearner(streams(), alpha=0.0, beta=0.0, clip=None, **TINY)
    learner.fit(0.01, 1)
    assert learner.training.callbacks() == []
    again = headstart.load(learner.save(tmp_path / "model"), device="cpu")
    assert again.training == learner.training and again.training.callbacks() == []
    penalised = LanguageModelLearner(streams(), **TINY)
    (penalty,) = penalised.training.callbacks()
    assert (penalty.alpha, penalty.beta) == (2.0, 1.0)
    penalised.training = dataclasses.replace(penalised.training, alpha=0.5)
    (penalty,) = penalised.training.callbacks()
    assert (penalty.alpha, penalty.beta) == (0.5, 1.0)


def test_penalties_change_what_is_learnt() -> None:
    def trained(**options: float) -> list[float]:
        learner = TextLearner(texts(), **options, **TINY)
        learner.fit(0.05, 3)
        return [epoch["train_loss"] for epoch in learner.history]

    assert trained(alpha=0.0, beta=0.0) != trained() == trained(alpha=2.0, beta=1.0)


# ---- plans


def test_plans_are_the_command_s(start: Path) -> None:
    data = texts()
    assert TextLearner.suggest(data) == Plan(lr=0.01, epochs=3)
    started = dataclasses.replace(data, language_model=start)
    assert TextLearner.suggest(started) == Plan(lr=0.005, epochs=3, depth=1.5)
    assert TransformerLearner.suggest(data) == Plan(lr=2e-4, epochs=2, depth=1.5)
    plan = LanguageModelLearner.suggest(streams())
    assert plan == Plan(lr=0.01, epochs=10) and plan.keep == "best"
    many = streams()
    for tokens, epochs in ((400_000, 8), (2_000_001, 1), (30_000_000, 1)):
        many.train.rows = tokens
        assert LanguageModelLearner.suggest(many).epochs == epochs
    learner = LanguageModelLearner(streams(backward=True), language_model=start, progress="none")
    assert learner.plan() == Plan(lr=0.005, epochs=10)


def test_the_best_epoch_of_a_language_model_is_that_of_the_lowest_perplexity() -> None:
    learner = LanguageModelLearner(streams(), **TINY)
    assert learner.first_figure() == "perplexity"
    assert learner.better()["perplexity"] == "lower" and learner.better()["accuracy"] == "higher"
    history = learner.fit_one_cycle(0.3, 4, keep="best")
    kept = [epoch["perplexity"] for epoch in history if epoch["kept"]]
    assert kept == [min(epoch["perplexity"] for epoch in history)]
    assert learner.validate()["perplexity"] == pytest.approx(kept[0])


# ---- starts


def test_data_that_name_a_language_model_read_as_it_does(start: Path) -> None:
    data = streams(language_model=start)
    assert data.codec.backward and data.language_model == start
    learner = LanguageModelLearner(data, progress="none")
    assert (learner.design.embedding_size, learner.design.hidden, learner.design.layers) == (8, 12, 1)
    labelled = texts(language_model=start)
    assert labelled.codec.backward and labelled.codec.vocabulary == data.codec.vocabulary
    classifier = TextLearner(labelled, progress="none")
    assert classifier.model.encoder.embedding.weight.equal(learner.model.encoder.embedding.weight)
    with pytest.raises(ConfigError, match="the tokenizer must be that of the language model in"):
        streams(language_model=start, tokenizer="subwords")
    with pytest.raises(ConfigError, match="the vocabulary must be that of the language model in"):
        texts(language_model=start, vocabulary=Vocabulary(SPECIALS))
    with pytest.raises(ConfigError, match="codec and language_model both say how texts become ids: give one"):
        texts(language_model=start, codec=labelled.codec)


def test_only_the_first_weights_come_from_a_start(start: Path, tmp_path: Path) -> None:
    learner = TextLearner(texts(language_model=start), progress="none")
    learner.fit(0.01, 1)
    again = headstart.load(learner.save(tmp_path / "model"), device="cpu")
    assert again.design == learner.design and again.predict(TEXTS).equals(learner.predict(TEXTS))


# ---- codec and data


def test_a_codec_encodes_rows_one_by_one_as_in_a_table_and_survives_json() -> None:
    for codec in (texts(min_freq=2).codec, texts(backward=True).codec):
        inputs = codec.encode(TABLE).inputs
        for number, text in enumerate(TEXTS):
            tokens, lengths, linear = codec.encode_one({"text": text})
            assert np.array_equal(tokens[0].numpy(), inputs.corpus.text(number))
            assert lengths.tolist() == [tokens.shape[1]] and torch.equal(linear[0], inputs.linear[number])
        tensors: dict[str, torch.Tensor] = {}
        again = from_json(TextCodec, to_json(codec, tensors), tensors)
        assert again == codec and torch.equal(again.encode(TABLE).inputs.linear, inputs.linear)
    subwords = SubwordTokenizer.fit(TEXTS, size=300)
    codec = TextCodec(("text",), (), subwords, Vocabulary(subwords.words))
    assert from_json(TextCodec, to_json(codec)) == codec
    with pytest.raises(ConfigError, match="a language model has no labels"):
        codec.encode(TABLE, with_target=True)


def test_notes_come_out_of_the_encoding() -> None:
    codec = TextCodec(("text",), (), WordTokenizer(), Vocabulary((*SPECIALS, "film")))
    notes = codec.encode(pl.DataFrame({"text": ["film film new", None]})).notes
    assert notes == ("7 tokens in 2 texts; vocabulary 5, 33.33% of the words unknown", "empty texts: 1")
    data = texts(min_freq=20)
    assert [note.partition(":")[0] for note in data.notes] == ["training", "validation"]


def test_all_rows_may_train(tmp_path: Path) -> None:
    data = TextData.from_table(TABLE, "text", "label", split=train_on_all, min_freq=1, engine=CPU)
    assert data.valid is None and data.valid_rows is None and data.train.rows == len(TABLE)
    assert repr(data) == "TextData(32 training and no validation rows, target label)"
    learner = TextLearner(data, **TINY)
    assert "valid_loss" not in learner.fit_one_cycle(0.01, 1)[0]
    for reading in (learner.validate, learner.interpret, learner.confusion_matrix):
        with pytest.raises(ConfigError, match="there are no validation rows"):
            reading()
    corpus = LanguageModelData.from_texts(TEXTS, split=train_on_all, min_freq=1, batch_size=4, engine=CPU)
    assert corpus.valid is None and len(corpus.notes) == 1
    assert repr(corpus) == f"LanguageModelData({corpus.train.rows} training and no validation tokens, vocabulary 15)"


def test_folders_are_filtered_evaluated_and_predicted(tmp_path: Path) -> None:
    for label, word in (("pos", "good"), ("neg", "bad")):
        (tmp_path / label).mkdir()
        for number in range(6):
            (tmp_path / label / f"{number}.txt").write_text(f"the film was {word} .")
    data = TextData.from_folder(tmp_path, split=train_on_all, min_freq=1, engine=CPU)
    assert data.valid is None and data.train.rows == 12
    some = TextData.from_folder(tmp_path, where="path NOT LIKE '%0.txt'", split=by_indices([0, 9]), engine=CPU)
    assert (some.train.rows, some.valid.rows) == (8, 2)
    learner = TextLearner(data, **TINY)
    assert learner.predict(tmp_path)["prediction"].len() == 12
    assert learner.evaluate(tmp_path).keys() >= {"valid_loss", "accuracy"}
    writer = LanguageModelLearner(
        LanguageModelData.from_folder(tmp_path, valid="pos", min_freq=1, batch_size=2, engine=CPU), **TINY
    )
    assert writer.evaluate(tmp_path)["unknown"] == pytest.approx(1 / 10)  # "good" is in no training text
    with pytest.raises(DataError, match="all texts are in 'pos'"):
        LanguageModelData.from_folder(tmp_path, valid="pos", exclude=["neg"])


def test_a_checkpoint_refuses_other_texts(tmp_path: Path) -> None:
    LanguageModelLearner(streams(), **TINY).fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    for options in ({"bptt": 20}, {"seed": 1}):
        with pytest.raises(headstart.ArtifactError, match="belongs to another fit: .*(bptt|seed)"):
            LanguageModelLearner(streams(**options), **TINY).fit(
                0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True
            )
    TextLearner(texts(), **TINY).fit(0.01, 1, checkpoint=tmp_path / "texts")
    turned = TABLE.with_columns(pl.col("label").reverse())
    other = TextData.from_table(turned, "text", "label", valid=TABLE[:8], engine=CPU)
    with pytest.raises(headstart.ArtifactError, match="belongs to another fit: .*digest"):
        TextLearner(other, **TINY).fit(0.01, 1, checkpoint=tmp_path / "texts", resume=True)


def test_dropouts_are_part_of_the_design(tmp_path: Path) -> None:
    learner = TextLearner(texts(), dropouts=Dropouts(0.0, 0.1, 0.2, 0.3, 0.4), dropout=0.5, **TINY)
    again = headstart.load(learner.save(tmp_path / "model"), device="cpu")
    assert again.design == learner.design and again.model.encoder.dropouts == Dropouts(0.0, 0.05, 0.1, 0.15, 0.2)
