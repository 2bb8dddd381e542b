"""The lesson's language model and classifier are headstart's, time first."""

from __future__ import annotations

import pickle
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import optim

from headstart.classic import (
    LanguageModelData,
    TextData,
    accuracy,
    data,
    datasets,
    sample_model,
    seq2seq_reg,
    spacy_tok,
    to_np,
)
from headstart.classic.text import EncoderAdapter, LanguageAdapter
from headstart.core.errors import ConfigError, DataError, NotFittedError
from headstart.text import LanguageModelLearner
from headstart.text.language_model_data import LanguageModelData as Streams
from headstart.text.models.awd_lstm import Dropouts
from headstart.text.penalty import ActivationPenalty

OPT_FN = partial(optim.Adam, betas=(0.7, 0.99))
DROPS = {"dropouti": 0.05, "dropout": 0.05, "wdrop": 0.1, "dropoute": 0.02, "dropouth": 0.05}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty reviews to train on and twelve to test on, in IMDB's layout, and all of them once more in ``all``."""
    root, draws = tmp_path_factory.mktemp("reviews"), random.Random(0)
    words = [
        "the",
        "film",
        "was",
        "a",
        "story",
        "about",
        "people",
        "who",
        "go",
        "home",
        ",",
        "and",
        "it",
        "is",
        "not",
        "very",
        "long",
        ".",
    ]
    for part, count in (("train", 20), ("test", 6)):
        for label, mood in (("pos", ["good", "liked"]), ("neg", ["bad", "hated"])):
            for number in range(count):
                text = " ".join(draws.choices(words + mood * 4, k=draws.randint(10, 40)))
                for folder in (root / "aclImdb" / part / label, root / "aclImdb" / part / "all"):
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / f"{label}{number}.txt").write_text(text.capitalize())
    return root


@pytest.fixture(scope="module")
def field() -> data.Field:
    return data.Field(lower=True, tokenize=spacy_tok)


@pytest.fixture(scope="module")
def md(reviews: Path, field: data.Field) -> LanguageModelData:
    return LanguageModelData.from_text_files(
        reviews / "aclImdb", field, train="train/all", validation="test/all", bs=4, bptt=12, min_freq=2
    )


def language_model(md: LanguageModelData) -> LanguageAdapter:
    learner = md.get_model(OPT_FN, 8, 12, 2, **DROPS)
    learner.reg_fn = partial(seq2seq_reg, alpha=2, beta=1)
    learner.clip = 0.3
    return learner


def test_words_keep_their_case_and_labels_need_no_words() -> None:
    assert " ".join(spacy_tok("It wasn't bad. I liked it!")) == "It was n't bad . I liked it !"
    assert not data.Field(sequential=False).sequential
    with pytest.raises(ConfigError, match="tokenize must be spacy_tok; got "):
        data.Field(tokenize=str.split)
    with pytest.raises(NotFittedError, match="the field has no vocabulary yet: LanguageModelData.from_text_files"):
        data.Field().numericalize([["a"]])


def test_the_vocabulary_is_by_frequency_and_survives_pickling(md: LanguageModelData, field: data.Field) -> None:
    itos, words = field.vocab.itos, md.trn_ds[0].text
    assert itos[:2] == ["<unk>", "<pad>"] and md.nt == len(itos)
    counts = [words.count(word) for word in itos[2:]]
    assert counts == sorted(counts, reverse=True) and min(counts) >= 2
    again = pickle.loads(pickle.dumps(field))
    assert again.vocab.stoi["film"] == itos.index("film")
    assert again.vocab.stoi["zombie"] == 0 and "zombie" not in again.vocab.stoi
    ids = field.numericalize([["film", "Zombie"], ["The"]])
    assert ids.tolist() == [[itos.index("film"), itos.index("the")], [0, 1]]  # time first, padded


def test_batches_are_time_first_and_their_breakpoints_move(md: LanguageModelData) -> None:
    for x, target in md.val_dl:
        assert target.shape == (x.shape[0] * x.shape[1],)
    x, target = next(iter(md.trn_dl))
    assert x.shape[1] == 4 and torch.equal(x[1:].reshape(-1), target[: -x.shape[1]])
    assert len({next(iter(md.trn_dl))[0].shape[0] for _ in range(20)}) > 3


def test_the_lesson_s_lines_give_headstart_s_own_numbers(
    md: LanguageModelData, field: data.Field, reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = language_model(md)
    learner.fit(3e-3, 2, wds=1e-6, cycle_len=1)
    texts = {
        part: [path.read_text() for path in sorted((reviews / "aclImdb" / part / "all").glob("*.txt"))]
        for part in ("train", "test")
    }
    streams = Streams.from_texts(
        texts["train"], valid=texts["test"], vocabulary=field.vocab.vocabulary, batch_size=4, bptt=12
    )
    own = LanguageModelLearner(
        streams, embedding_size=8, hidden=12, layers=2, alpha=2, beta=1, clip=0.3, weight_decay=1e-6,
        dropouts=Dropouts(embedding=0.02, input=0.05, weight=0.1, hidden=0.05, output=0.05),
        dropout=1.0, optimizer=OPT_FN, progress="none", from_counts=False,
    )  # fmt: skip
    own.fit(3e-3, 2, cycle_len=1)
    assert [row["valid_loss"] for row in learner.learner.history] == [row["valid_loss"] for row in own.history]
    rows = [[float(word) for word in line.strip("[]").split()] for line in capsys.readouterr().out.splitlines()]
    assert [len(row) for row in rows] == [3, 3]
    assert rows[-1][2] == pytest.approx(own.history[-1]["valid_loss"], abs=1e-5)


def test_the_model_is_time_first_and_its_state_goes_on(md: LanguageModelData, field: data.Field) -> None:
    m = language_model(md).model
    ids = field.numericalize([spacy_tok("the film was good")])
    m[0].bs = 1
    m.eval()
    m.reset()
    whole, raw, dropped = m(ids)
    assert whole.shape == (4, md.nt) and raw[0].shape == dropped[0].shape == (4, 1, 8)
    m.reset()
    parts = torch.cat([m(ids[:2])[0], m(ids[2:])[0]])
    assert torch.allclose(parts, whole, atol=1e-6)
    m[0].bs = 4
    assert m[0].bs == 4
    m[0].bs = 1
    assert torch.allclose(m(ids)[0], whole, atol=1e-6)  # setting it forgot what was read
    with pytest.raises(IndexError, match=r"the model's encoder is \[0\]; got \[1\]"):
        m[1]


def test_the_penalty_is_headstart_s(md: LanguageModelData, field: data.Field) -> None:
    learner = language_model(md)
    assert [type(callback) for callback in learner.learner.training.callbacks()] == [ActivationPenalty]
    found, *xtra = learner.model(field.numericalize([["the", "film"]]))
    loss = torch.tensor(1.0)
    raw, dropped = xtra[0][0], xtra[1][0]
    expected = 1 + 2 * dropped.square().mean() + (raw[1:] - raw[:-1]).square().mean()
    assert seq2seq_reg(found, xtra, loss, alpha=2, beta=1).item() == pytest.approx(expected.item(), rel=1e-6)
    with pytest.raises(ConfigError, match=r"reg_fn must be partial\(seq2seq_reg, alpha=\.\.\., beta=\.\.\.\); got"):
        learner.reg_fn = lambda *_: 0


def test_samples_are_known_words(md: LanguageModelData, field: data.Field, capsys: pytest.CaptureFixture[str]) -> None:
    sample_model(language_model(md).model, "<CAT> csni The film", l=7)
    printed = capsys.readouterr().out
    assert printed.startswith("...")
    words = printed.removeprefix("...").split()
    assert set(words) <= set(field.vocab.itos) - {"<unk>"}
    assert len(words) == 7 or words[-1] == "<eos>"


def test_an_encoder_goes_into_a_classifier(
    md: LanguageModelData, field: data.Field, reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = language_model(md)
    learner.fit(3e-3, 1)
    learner.save_encoder("enc")
    splits = datasets.IMDB.splits(field, data.Field(sequential=False), reviews)
    assert sorted(example.label for example in splits[0].examples) == ["neg"] * 20 + ["pos"] * 20
    m3 = TextData.from_splits(reviews / "aclImdb", splits, 8).get_model(
        OPT_FN, 1500, 12, emb_sz=8, n_hid=12, n_layers=2, dropout=0.1
    )
    assert isinstance(m3, EncoderAdapter)
    m3.load_encoder("enc")
    own, saved = m3.model.state_dict(), learner.learner.model.state_dict()
    assert torch.equal(own["encoder.embedding.weight"], saved["encoder.embedding.weight"])
    m3.freeze_to(-1)
    capsys.readouterr()
    m3.fit(np.array([1e-4, 1e-3, 1e-2]), 1, metrics=[accuracy])
    (row,) = capsys.readouterr().out.splitlines()
    found, true = m3.predict_with_targs()
    assert float(row.strip("[]").split()[3]) == pytest.approx(accuracy(found, true), abs=1e-5)
    assert np.allclose(np.exp(found).sum(1), 1, atol=1e-5) and to_np(true).shape == (12,)


def test_texts_without_a_home_or_a_label(reviews: Path, field: data.Field, md: LanguageModelData) -> None:
    with pytest.raises(DataError, match="holds neither imdb/aclImdb nor aclImdb: unpack aclImdb_v1"):
        datasets.IMDB.splits(field, data.Field(sequential=False), reviews / "aclImdb")
    unlabelled = data.TextDataset.of_folder(reviews / "aclImdb" / "train" / "all", field, labelled=False)
    with pytest.raises(DataError, match="the texts of splits need labels: datasets.IMDB.splits"):
        TextData.from_splits(reviews, (unlabelled, unlabelled), 8)
