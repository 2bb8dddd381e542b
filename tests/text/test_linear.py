"""The linear path of texts: its n-grams against scikit-learn's, its solution against a solver, and what it must not do."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import headstart
from headstart import ArtifactError, Engine, TextData, TextLearner
from headstart.core.errors import HeadstartWarning
from headstart.core.values import from_json, to_json
from headstart.frames.splits import train_on_all
from headstart.targets.fit import fit_target
from headstart.targets.metrics import accuracy, auc, log_loss
from headstart.text import linear
from headstart.text.linear import LinearPath, fit_linear
from headstart.text.ngrams import Grams, Sparse, character_grams, hash_words, word_grams
from headstart.text.tokens import Tokenized
from headstart.text.word_vectors import WordVectors, mean_of_words, read_vectors, usual_vectors

CPU = Engine("cpu")

HASHES = [8097595048436441031, -4864804546483543967, 0, -535466788104469818]
"""Of "film", "ümlaut", an empty word and a character beyond 16 bits: saved models depend on them."""


def tokenized(texts: list[str]) -> Tokenized:
    return Tokenized.of([text.split() for text in texts])


def sentences(rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Sentences of invented words, of which a few speak for a class; one in ten labels is wrong."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(list("abcdefgh"), 5)) for _ in range(60)]
    texts, labels = [], []
    for _ in range(rows):
        chosen = random.integers(60, size=8)
        score = (chosen < 12).sum() - ((chosen >= 12) & (chosen < 24)).sum() + random.normal(0, 0.1)
        texts.append(" ".join(words[number] for number in chosen))
        labels.append("yes" if (score > 0) != (random.random() < 0.1) else "no")
    return pl.DataFrame({"text": texts, "label": labels})


def dense(matrix: Sparse, width: int) -> np.ndarray:
    full = np.zeros((len(matrix.starts) - 1, width), dtype=np.float32)
    rows = np.repeat(np.arange(len(full)), np.diff(matrix.starts))
    full[rows, matrix.columns] = matrix.values
    return full


def fitted(rows: pl.DataFrame, **options: object) -> tuple[LinearPath, torch.Tensor, torch.Tensor]:
    target = fit_target(rows, ["label"], kind="label")
    encoded = target.encode(rows)
    path, held_out = fit_linear(tokenized(rows["text"].to_list()), target, encoded, None, None, **options)
    return path, held_out, encoded


# ---- n-grams


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_tf_idf_is_scikit_learns(kind: str) -> None:
    texts = [*sentences(80)["text"].to_list(), "a a a ab", "ab", "x"]
    if kind == "words":
        peer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\S+")
    else:
        peer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    expected = peer.fit_transform(texts).toarray()
    listed = word_grams if kind == "words" else character_grams
    grams = Grams.fit(listed(tokenized(texts)), len(texts), 10**6)
    found = dense(grams.encode(listed(tokenized(texts)), len(texts)), len(grams))
    # The columns have another order; products of rows do not depend on it.
    if kind == "characters":  # scikit-learn counts a word that is shorter than an n-gram once as a whole: none is here
        assert found.shape[1] == expected.shape[1]
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
    assert found.shape == expected.shape


def test_the_most_frequent_n_grams_are_kept() -> None:
    texts = tokenized(["b a", "b a", "b c", "c d", "b"])
    grams = Grams.fit(word_grams(texts), 5, 1)
    assert grams.hashes.tolist() == hash_words(["b"]).tolist()
    assert grams.idf.tolist() == pytest.approx([np.log(6 / 5) + 1])


def test_texts_are_read_in_runs_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tokenized(["", *sentences(40)["text"].to_list(), "", "ab"])
    count = len(texts.lengths)
    for listed in (word_grams, character_grams):
        grams = Grams.fit(listed(texts), count, 10**6)
        whole = grams.encode(listed(texts), count)
        with monkeypatch.context() as patched:
            patched.setattr("headstart.text.ngrams.ENTRIES_AT_ONCE", 50)
            pieces = Grams.fit(listed(texts), count, 10**6)
            again = pieces.encode(listed(texts), count)
        assert torch.equal(pieces.hashes, grams.hashes) and torch.equal(pieces.idf, grams.idf)
        for name in ("columns", "values", "starts"):
            assert np.array_equal(getattr(whole, name), getattr(again, name)), name


def test_hashes_are_the_same_everywhere() -> None:
    assert hash_words(["film", "ümlaut", "", "𝄞"]).tolist() == HASHES
    many = [f"{first}{second}" for first in "abcdefghij" for second in range(5000)]
    assert len(np.unique(hash_words(many))) == len(many)


# ---- the solution


@pytest.mark.parametrize("with_vectors", [False, True])
def test_the_solution_is_that_of_a_convex_solver(monkeypatch: pytest.MonkeyPatch, with_vectors: bool) -> None:
    monkeypatch.setattr(linear, "STRENGTHS", (4.0,))
    monkeypatch.setattr(linear, "minimise", partial(linear.minimise, iterations=500))
    monkeypatch.setattr(linear._Problem, "_factors", lambda problem: torch.ones_like(problem.factors[: problem.width]))
    rows = sentences(200)
    texts = tokenized(rows["text"].to_list())
    known = invented_vectors(texts.types) if with_vectors else None
    target = fit_target(rows, ["label"], kind="label")
    encoded = target.encode(rows)
    path, held_out = fit_linear(texts, target, encoded, None, known)
    parts = [
        dense(path.words.encode(word_grams(texts), 200), len(path.words)),
        dense(path.characters.encode(character_grams(texts), 200), len(path.characters)),
    ]
    if known is not None:
        means = dense(mean_of_words(known.hashes, known.weights, texts), len(known.hashes)) @ known.vectors
        # A feature that is 2.8 times as large is one with an eighth of the penalty: 32 instead of 4.
        parts.append((means - means.mean(0)) * 0.1 / known.vectors.std(0) * np.sqrt(32 / 4))
    features = np.concatenate(parts, axis=1)
    # Two outputs with equal penalties are one with twice the strength.
    peer = LogisticRegression(C=8.0, tol=1e-8, max_iter=5000).fit(features, encoded.numpy())
    expected = peer.decision_function(features)
    outputs = path.outputs(texts)
    np.testing.assert_allclose((outputs[:, 1] - outputs[:, 0]).numpy(), expected, atol=0.05)
    assert not torch.allclose(held_out, outputs, atol=0.1)


def invented_vectors(words: Sequence[str]) -> WordVectors:
    """Vectors of which the first number tells nothing, and the second speaks for a class."""
    random = np.random.default_rng(1)
    hashes = np.sort(hash_words(words))
    values = random.normal(0, [0.3, 2.0], (len(words), 2)).astype(np.float32)
    return WordVectors(hashes, values, random.uniform(0.2, 1, len(words)).astype(np.float32))


def test_vectors_without_meaning_harm_long_texts_little() -> None:
    """The means of long texts differ little: what is left of them is noise, which must not be blown up."""
    random = np.random.default_rng(4)
    words = ["".join(random.choice(list("abcdefgh"), 6)) for _ in range(400)]
    texts, labels = [], []
    for _ in range(300):
        good = bool(random.random() < 0.5)
        chosen = (
            random.integers(40, 400, size=150).tolist() + random.integers(20 * good, 20 * good + 20, size=3).tolist()
        )
        texts.append(" ".join(words[number] for number in chosen))
        labels.append("yes" if good else "no")
    rows = pl.DataFrame({"text": texts, "label": labels})
    target = fit_target(rows, ["label"], kind="label")
    encoded = target.encode(rows)
    hashes = np.sort(hash_words(words))
    noise = WordVectors(hashes, random.normal(0, 1, (400, 50)).astype(np.float32), np.ones(400, dtype=np.float32))
    losses = [
        log_loss(target.prediction(fit_linear(tokenized(texts), target, encoded, None, chosen)[1]), encoded)
        for chosen in (noise, None)
    ]
    assert losses[0] < 1.1 * losses[1] < 0.5, losses


def test_held_out_outputs_are_honest() -> None:
    """Where labels are random, the outputs for the training texts have no skill, though the solution fits them."""
    rows = sentences(400)
    shuffled = rows.with_columns(rows["label"].shuffle(seed=1))
    path, held_out, encoded = fitted(shuffled)
    target = fit_target(shuffled, ["label"], kind="label")
    assert accuracy(target.prediction(path.outputs(tokenized(rows["text"].to_list()))), encoded) > 0.65
    assert 0.4 < auc(target.prediction(held_out), encoded) < 0.6


def test_texts_with_nothing_in_common_get_what_all_of_them_get() -> None:
    """No n-gram occurs twice, so that only the share of each class is learnt."""
    texts = tokenized(list("abcdefghijklmnopqrst"))
    rows = pl.DataFrame({"label": ["yes", "yes", "yes", "no"] * 5})
    target = fit_target(rows, ["label"], kind="label")
    path, held_out = fit_linear(texts, target, target.encode(rows), None, None)
    assert (len(path.words), len(path.characters), held_out.shape) == (0, 0, (20, 2))
    shares = path.outputs(tokenized(["u v", ""])).softmax(1)
    torch.testing.assert_close(shares, torch.tensor([[0.25, 0.75]] * 2), atol=1e-3, rtol=0)


def test_repeated_texts_are_held_out_together() -> None:
    """Each text twice with a label of its own: who has seen the twin would know it."""
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(list("abcdefgh"), 12)) for _ in range(100)]
    labels = random.choice(["no", "yes"], 100).tolist()
    _, held_out, encoded = fitted(pl.DataFrame({"text": texts * 2, "label": labels * 2}))
    assert auc(held_out.softmax(1), encoded) < 0.62


def test_a_sample_of_much_text_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sentences(400)
    monkeypatch.setattr(linear, "MOST_TOKENS", 1600)
    path, held_out, encoded = fitted(rows)
    assert held_out.shape == (400, 2) and auc(held_out.softmax(1), encoded) > 0.75
    assert len(path.words) < len(fitted_words := hash_words(sorted({*" ".join(rows["text"]).split()}))) + 400
    assert len(fitted_words) == 60


def test_a_class_that_is_rare_and_weights_of_rows() -> None:
    rows = sentences(300)
    target = fit_target(rows, ["label"], kind="label")
    encoded = target.encode(rows)
    texts = tokenized(rows["text"].to_list())
    heavy = torch.where(encoded == 1, 1.9, 0.1)
    plain, weighted = (fit_linear(texts, target, encoded, weight, None)[0] for weight in (None, heavy))
    gain = (
        target.prediction(weighted.outputs(texts))[:, 1].mean() - target.prediction(plain.outputs(texts))[:, 1].mean()
    )
    assert gain > 0.15


# ---- word vectors


def vectors() -> WordVectors:
    words = ["good", "fine", "nice", "bad", "poor", "dull", "the"]
    values = np.array([[1, 0.1], [0.9, 0], [1.1, 0.2], [-1, 0], [-0.9, 0.1], [-1.1, 0.2], [0, 3]], dtype=np.float32)
    hashes = hash_words(words)
    order = np.argsort(hashes)
    weights = np.array([1, 1, 1, 1, 1, 1, 0.01], dtype=np.float32)
    return WordVectors(hashes[order], values[order], weights[order])


def test_vectors_speak_of_words_that_no_training_text_has() -> None:
    random = np.random.default_rng(0)
    texts, labels = [], []
    for _ in range(120):
        good = bool(random.random() < 0.5)
        filler = " ".join(random.choice([f"{letter}{letter}" for letter in "qwxz"], 4))
        texts.append(f"{filler} the {random.choice(['good', 'fine'] if good else ['bad', 'poor'])}")
        labels.append("pos" if good else "neg")
    rows = pl.DataFrame({"text": texts, "label": labels})
    target = fit_target(rows, ["label"], kind="label")
    new = Tokenized.of([["the", "nice"], ["the", "dull"], ["jumbo"], []])
    with_vectors, without = (
        fit_linear(tokenized(texts), target, target.encode(rows), None, chosen)[0] for chosen in (vectors(), None)
    )
    odds = [path.outputs(new)[:, 1] - path.outputs(new)[:, 0] for path in (with_vectors, without)]
    assert odds[0][0] - odds[0][1] > 0.1 and abs(float(odds[1][0] - odds[1][1])) < 0.01
    assert bool(odds[0].isfinite().all()) and float(odds[0][2]) == pytest.approx(float(odds[0][3]), abs=1e-6)


def test_the_mean_of_words_is_weighted() -> None:
    known = vectors()
    mean = mean_of_words(known.hashes, known.weights, Tokenized.of([["the", "good", "zebra", "good"], ["zebra"]]))
    assert mean.starts.tolist() == [0, 3, 3] and sorted(mean.values.tolist()) == pytest.approx(
        [0.01 / 2.01, 1 / 2.01, 1 / 2.01]
    )


def test_a_folder_of_vectors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    pl.DataFrame({"index": ["the", "film", "of"]}).write_parquet(tmp_path / "w.parquet")
    known = read_vectors(tmp_path)
    found, known_words = known.of_words(["of", "zebra", "the"])
    assert found.tolist() == [[4, 5], [0, 0], [0, 1]] and known_words.tolist() == [True, False, True]
    order = np.argsort(hash_words(["the", "film", "of"]))
    assert np.all(np.diff(known.weights[np.argsort(order)]) > 0)  # the more frequent, the lighter
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert usual_vectors(f"~/{tmp_path.name}", []) is known
    with pytest.raises(ArtifactError, match="one .npy of vectors and one .parquet of words are expected.*are 0 and 0"):
        read_vectors(tmp_path / "nothing")
    pl.DataFrame({"index": ["the"]}).write_parquet(tmp_path / "w.parquet")
    read_vectors.cache_clear()
    with pytest.raises(ArtifactError, match=r"there are 1 words and vectors of shape \(3, 2\)"):
        read_vectors(tmp_path)


def test_no_vectors_at_hand_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    data = TextData.from_table(sentences(60), split=train_on_all, engine=CPU)
    [said] = [note for note in data.notes if "word vectors" in note]
    assert "'headstart datasets get word-vectors' fetches them once" in said
    for chosen in ({"word_vectors": "none"}, {"linear": False}):
        data = TextData.from_table(sentences(60), split=train_on_all, engine=CPU, **chosen)
        assert not any("word vectors" in note for note in data.notes)


# ---- beside the network


def data_of(rows: pl.DataFrame, **options: object) -> TextData:
    return TextData.from_table(rows, min_freq=1, word_vectors="none", engine=CPU, **options)


def test_an_untrained_network_predicts_by_the_linear_path_alone() -> None:
    rows = sentences(200)
    data = data_of(rows[:150], valid=rows[150:])
    learner = TextLearner(data, embedding_size=8, hidden=8, layers=1, progress="none")
    expected = data.codec.label.prediction(data.codec.encode(rows[150:]).inputs.linear)
    torch.testing.assert_close(learner.probabilities(rows[150:]), expected)
    assert learner.validate()["auc"] > 0.8
    assert data.train.linear is not None and not torch.equal(
        data.train.linear, data.codec.encode(rows[:150]).inputs.linear
    )


def test_the_path_is_saved_and_predicts_the_same_bits(tmp_path: Path) -> None:
    rows = sentences(120)
    learner = TextLearner(data_of(rows, split=train_on_all), embedding_size=8, hidden=8, layers=1, progress="none")
    learner.fit_one_cycle(0.01, 1)
    again = headstart.load(learner.save(tmp_path / "model"), device="cpu")
    assert again.codec == learner.codec and torch.equal(again.probabilities(rows), learner.probabilities(rows))
    tensors: dict[str, torch.Tensor] = {}
    record = to_json(learner.codec.linear, tensors)
    changed = {**tensors, "value.bias": tensors["value.bias"] + 1}
    assert from_json(LinearPath, record, tensors) == learner.codec.linear
    assert not torch.equal(from_json(LinearPath, record, changed).bias, learner.codec.linear.bias)


def test_another_text_in_the_batch_changes_nothing_and_one_text_takes_milliseconds() -> None:
    rows = sentences(200)
    codec = data_of(rows, split=train_on_all).codec
    together = codec.encode(rows).inputs.linear
    for number in (0, 7, 199):
        assert torch.equal(codec.encode_one(rows["text"][number])[2][0], together[number])
    with warnings.catch_warnings():
        warnings.simplefilter("error", HeadstartWarning)
        started = time.process_time()
        for text in rows["text"]:
            codec.encode_one(text)
    assert (time.process_time() - started) / 200 < 0.01


def test_an_explanation_counts_the_linear_path() -> None:
    rows = sentences(300)
    learner = TextLearner(data_of(rows, split=train_on_all), embedding_size=8, hidden=8, layers=1, progress="none")
    text = rows.filter(pl.col("label") == "yes")["text"][0]
    told = learner.explain(text, "yes")
    assert told.tokens == tuple(text.split()) and max(map(abs, told.contributions)) > 0.1


def test_without_it_a_network_is_what_it_was() -> None:
    rows = sentences(60)
    data = data_of(rows, split=train_on_all, linear=False)
    assert data.codec.linear is None and len(next(data.train.batches(0)).inputs) == 2
    learner = TextLearner(data, embedding_size=8, hidden=8, layers=1, progress="none")
    assert bool(learner.model.head[-1].weight.any()) and len(data.codec.encode_one("a")) == 2


def test_a_network_that_trains_apart_is_added_in_evaluation(tmp_path: Path) -> None:
    rows = sentences(60)
    learner = TextLearner(
        data_of(rows, split=train_on_all), embedding_size=8, hidden=8, layers=1, apart=True, progress="none"
    )
    tokens, lengths, path = learner.codec.encode_words([rows["text"][0].split()])
    model = learner.model.eval()
    alone, together = model(tokens, lengths)[0], model(tokens, lengths, path)[0]
    torch.testing.assert_close(together, path + 0.7 * alone)
    assert bool(alone.any())
    model.train()
    model.encoder.eval()
    model.head.eval()
    torch.testing.assert_close(model(tokens, lengths, path)[0], model(tokens, lengths)[0])
    model.eval()
    again = headstart.load(learner.save(tmp_path / "model"), device="cpu")
    assert again.design.apart and torch.equal(again.probabilities(rows), learner.probabilities(rows))
