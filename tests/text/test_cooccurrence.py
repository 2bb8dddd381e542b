"""Laws of what is counted: frequencies, and vectors that say which words stand in the same places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.text import LanguageModelData, LanguageModelLearner
from headstart.text import cooccurrence as module
from headstart.text.cooccurrence import log_frequencies, word_vectors
from headstart.text.corpus import Corpus

BOS, EOS, UNKNOWN, THE, A, CAT, DOG, SLEEPS, EATS, RARE = range(10)


def corpus(seed: int = 0, sentences: int = 400) -> Corpus:
    """Sentences such as "the cat sleeps": cats and dogs do the same, and what is done never stands first."""
    random = np.random.default_rng(seed)
    parts = [[BOS], [THE, A], [CAT, DOG], [SLEEPS, EATS], [EOS]]
    rows = [[random.choice(part) for part in parts] for _ in range(sentences)]
    return Corpus(np.array(rows, np.int32).ravel(), np.arange(0, 5 * sentences + 1, 5, dtype=np.int64), bos=BOS)


def cosine(vectors: np.ndarray, one: int, other: int) -> float:
    a, b = vectors[one], vectors[other]
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_frequencies_are_shares_of_the_corpus() -> None:
    read = corpus()
    found = np.exp(log_frequencies(read, 10))
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found[BOS] == pytest.approx(0.2, abs=1e-3)
    assert found[RARE] == pytest.approx(0.5 / len(read.tokens), rel=0.01)


def test_words_in_the_same_places_have_similar_vectors() -> None:
    vectors = word_vectors(corpus(), 10, 4)
    assert vectors.shape == (10, 4)
    assert vectors[vectors.any(1)].std() == pytest.approx(1, abs=1e-3)
    for one, other in ((THE, A), (CAT, DOG), (SLEEPS, EATS)):
        assert cosine(vectors, one, other) > 0.95
    assert cosine(vectors, CAT, SLEEPS) < 0.5
    assert not vectors[RARE].any()  # nothing is known of it


def test_left_and_right_neighbours_are_told_apart() -> None:
    random = np.random.default_rng(0)
    middle = random.integers(0, 2, 2000)  # 1 2 3 in turn, or 3 2 1
    rows = np.where(middle[:, None] == 0, [0, 3, 4, 0, 0, 0], [0, 0, 0, 4, 5, 0]).astype(np.int32)
    vectors = word_vectors(Corpus(rows.ravel(), np.array([0, rows.size], np.int64)), 6, 4)
    assert cosine(vectors, 3, 5) < 0.5  # both have 4 as a neighbour, but on different sides


def test_a_corpus_is_counted_alike_in_pieces_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read = corpus()
    whole = log_frequencies(read, 10), word_vectors(read, 10, 3)
    pieces = module.pieces
    monkeypatch.setattr(module, "pieces", lambda tokens: pieces(tokens, 500))  # few pairs lie across their ends
    assert np.array_equal(whole[0], log_frequencies(read, 10))
    in_pieces = word_vectors(read, 10, 3)
    for one, other in ((THE, A), (CAT, DOG), (CAT, SLEEPS)):
        assert cosine(in_pieces, one, other) == pytest.approx(cosine(whole[1], one, other), abs=0.02)


def test_neighbours_are_the_most_frequent_words_whatever_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONTEXTS", 4)
    read = corpus()
    turned = Corpus(9 - read.tokens, read.starts)  # the rare words have the first ids now
    before, after = word_vectors(read, 10, 3), word_vectors(turned, 10, 3)
    for one, other in ((THE, A), (CAT, DOG), (CAT, SLEEPS), (THE, CAT)):
        assert cosine(after, 9 - one, 9 - other) == pytest.approx(cosine(before, one, other), abs=0.3)
    assert cosine(after, 9 - CAT, 9 - DOG) > 0.9


def test_more_columns_than_the_counts_have_rank_are_zero() -> None:
    vectors = word_vectors(corpus(), 10, 64)
    assert np.isfinite(vectors).all()
    assert not vectors[:, 20:].any()


def test_an_empty_corpus_says_nothing() -> None:
    nothing = Corpus(np.zeros(0, np.int32), np.zeros(1, np.int64))
    assert not word_vectors(nothing, 5, 3).any()
    assert np.isfinite(log_frequencies(nothing, 5)).all()


def test_neighbours_are_counted_by_side_and_by_one_over_their_distance() -> None:
    read = Corpus(np.array([0, 1, 0, 2, 0], np.int32), np.array([0, 5], np.int64))
    found = module._neighbours(read, 3, 2).reshape(3, 2, 2)  # of each word, on its left and right, of 0 and 1
    assert found[2] == pytest.approx(np.array([[1 + 1 / 3, 1 / 2], [1, 0]]))
    assert found[1] == pytest.approx(np.array([[1, 0], [1 + 1 / 3, 0]]))


def test_mutual_information_is_by_smoothed_contexts_and_never_negative() -> None:
    counts = np.array([[8.0, 0.0], [8.0, 1.0]], np.float32)
    contexts = np.array([16.0, 1.0]) ** module.SMOOTHING
    expected = np.maximum(np.log(np.array([[1, 1e-30], [8 / 9, 1 / 9]]) / (contexts / contexts.sum())), 0)
    assert module._mutual_information(counts.copy()) == pytest.approx(expected, abs=1e-5)


def test_a_language_model_takes_the_vectors_of_what_occurs_and_leaves_the_rest_random() -> None:
    texts = ["the cat sleeps on the mat", "the dog eats on the road"] * 10
    words = LanguageModelData.from_texts([*texts, "never seen"], valid=texts[:2], min_freq=1).codec.vocabulary
    data = LanguageModelData.from_texts(texts, valid=texts[:2], vocabulary=words, batch_size=4, bptt=8)
    sizes = {"embedding_size": 4, "hidden": 6, "layers": 1, "progress": "none"}
    counted = LanguageModelLearner(data, **sizes).model.encoder.embedding.weight.detach().numpy()
    random = LanguageModelLearner(data, from_counts=False, **sizes).model.encoder.embedding.weight.detach().numpy()
    vectors = word_vectors(data.train.corpus, len(words), 4)
    known = vectors.any(1)
    assert vectors[known].std() == pytest.approx(1, abs=1e-3)
    assert counted[known] == pytest.approx(0.5 * vectors[known], abs=1e-6)
    assert not known[words.id_of("seen")]
    assert np.array_equal(counted[~known], random[~known])


def test_a_language_model_starts_below_the_entropy_of_equal_words() -> None:
    texts = [f"the {animal} {does} on the {place}" for animal in ("cat", "dog", "cow") for does in ("sleeps", "eats")
             for place in ("mat", "farm", "road")] * 8  # fmt: skip
    data = LanguageModelData.from_texts(texts, valid=texts[:20], min_freq=1, batch_size=4, bptt=8)
    sizes = {"embedding_size": 8, "hidden": 12, "layers": 1, "progress": "none"}
    counted = LanguageModelLearner(data, **sizes)
    random = LanguageModelLearner(data, from_counts=False, **sizes)
    assert counted.validate()["perplexity"] < 0.8 * random.validate()["perplexity"]
    assert random.validate()["perplexity"] == pytest.approx(len(data.codec.vocabulary), rel=0.1)


def test_word_vectors_leave_every_random_generator_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.manual_seed`` would seed those of GPUs as well, and nothing would set them back."""
    monkeypatch.setattr(torch.random, "manual_seed", lambda _: pytest.fail("seeds every device"))
    monkeypatch.setattr(torch, "manual_seed", lambda _: pytest.fail("seeds every device"))
    before = torch.get_rng_state()
    assert np.array_equal(word_vectors(corpus(), 10, 3), word_vectors(corpus(), 10, 3))
    assert torch.equal(torch.get_rng_state(), before)
