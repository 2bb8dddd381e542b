"""Corpora: the same ids whatever the way, and the loaders' laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import headstart.text.corpus as corpus_module
from headstart import ConfigError, DataError, Engine
from headstart.text.corpus import Corpus, count_tokens, encode_texts
from headstart.text.loaders import IGNORED, BucketLoader, StreamLoader
from headstart.text.tokens import WordTokenizer
from headstart.text.vocabulary import Vocabulary

TEXTS = ["The film was good.", "", "It wasn't bad, was it?", "good good good", "unheard-of"] * 30


class Rank:
    """What a loader asks of an engine."""

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank, self.world_size, self.device = rank, world_size, torch.device("cpu")


def counted(texts: list[str], **options: int) -> tuple[Vocabulary, Corpus]:
    found = count_tokens([texts], WordTokenizer(), **options)
    vocabulary = Vocabulary.of_counts(found.types, found.counts, min_freq=31)
    return vocabulary, found.corpus(vocabulary)


def same(first: Corpus, second: Corpus) -> bool:
    return np.array_equal(first.tokens, second.tokens) and np.array_equal(first.starts, second.starts)


def test_each_text_stands_between_its_marks() -> None:
    vocabulary, corpus = counted(TEXTS)
    assert len(corpus) == len(TEXTS) and corpus.text(1).tolist() == [2, 3]
    words = vocabulary.decode(corpus.text(2).tolist())
    assert (
        words == ["<bos>", "it", "<unk>", "<unk>", "<unk>", "<unk>", "was", "it", "<unk>", "<eos>"]
        or words[0] == "<bos>"
    )
    assert [vocabulary.words[i] for i in corpus.text(3)] == ["<bos>", "good", "good", "good", "<eos>"]
    inside = corpus.tokens[(corpus.tokens != 2) & (corpus.tokens != 3)]
    assert corpus.unknown == pytest.approx(float((inside == 0).mean())) and 0 < corpus.unknown < 1


def test_two_processes_and_a_file_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 2 seconds: two interpreters start."""
    vocabulary, alone = counted(TEXTS)
    monkeypatch.setattr(corpus_module, "CHARACTERS_AT_ONCE", 200)
    monkeypatch.setattr(corpus_module, "TOKENS_IN_MEMORY", 100)
    other, mapped = counted(TEXTS, workers=2)
    assert other == vocabulary and same(alone, mapped) and isinstance(mapped.tokens, np.memmap)
    assert same(alone, encode_texts([TEXTS[:70], TEXTS[70:]], WordTokenizer(), vocabulary))


def test_a_corpus_is_read_piece_by_piece() -> None:
    """No more pieces are held than one unit of work needs."""
    taken: list[int] = []

    def pieces() -> object:
        for number in range(40):
            taken.append(number)
            yield ["word " * 30_000]

    vocabulary = Vocabulary.of_counts(["word"], np.array([9]))
    work = corpus_module._work(pieces())  # type: ignore[arg-type]
    next(work)
    assert len(taken) == 14  # 150,000 characters each, two million at once
    assert len(encode_texts([["word " * 1_000_000]], WordTokenizer(), vocabulary).tokens) == 1_000_002


def test_a_corpus_is_reversed_text_by_text() -> None:
    _, corpus = counted(TEXTS)
    before = [corpus.text(number).tolist() for number in range(len(corpus))]
    corpus.reverse()
    for number, ids in enumerate(before):
        assert corpus.text(number).tolist() == [ids[0], *ids[-2:0:-1], ids[-1]]


@pytest.mark.parametrize(("pieces", "options", "error", "said"), [
    ([["a", None]], {}, DataError, "a text must be text; got None"),
    ([["a"]], {"workers": 0}, ConfigError, "workers must be a whole number of at least 1 process; got 0"),
])  # fmt: skip
def test_texts_that_are_none(
    pieces: list[list[str]], options: dict[str, int], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        count_tokens(pieces, WordTokenizer(), **options)


def corpus_of(lengths: list[int]) -> Corpus:
    """Texts of these many words, each token of which is different; <bos> is 2 as ever."""
    parts, word = [], 10
    for length in lengths:
        parts += [[2, *range(word, word + length), 3]]
        word += length
    tokens = np.array([token for part in parts for token in part], dtype=np.int32)
    return Corpus(tokens, np.cumsum([0, *[len(part) for part in parts]]))


LENGTHS = st.lists(st.integers(0, 40), min_size=3, max_size=25)


@given(LENGTHS, st.integers(1, 9), st.integers(3, 20), st.integers(0, 3), st.integers(1, 2))
def test_the_stream_reads_every_token_once_and_predicts_the_next(
    lengths: list[int], batch_size: int, bptt: int, epoch: int, world_size: int
) -> None:
    corpus = corpus_of(lengths)
    if len(corpus.tokens) < 8:
        return
    seen: list[int] = []
    predicted: list[int] = []
    for rank in range(world_size):
        loader = StreamLoader(
            corpus,
            batch_size=max(batch_size, world_size),
            bptt=bptt,
            shuffle=True,
            seed=1,
            engine=Rank(rank, world_size),
        )
        streams: list[list[tuple[int, int]]] = []
        batches = list(loader.batches(epoch))
        assert len(batches) == loader.steps(epoch)
        for number, batch in enumerate(batches):
            tokens, fresh, target = batch.inputs
            assert fresh.tolist() == [number == 0] * len(tokens) and batch.rate == tokens.shape[1] / bptt
            assert batch.rows == int((target != IGNORED).sum())
            streams = streams or [[] for _ in tokens]
            for own, row, next_row in zip(streams, tokens.tolist(), target.tolist(), strict=True):
                own += list(zip(row, next_row, strict=True))
        for own in streams:
            for (_, target_id), (token, _) in pairwise(own):
                assert target_id == token or (target_id == IGNORED and token in (1, 2))  # shifted by one
        seen += [token for own in streams for token, _ in own if token != 1]
        predicted += [target_id for own in streams for _, target_id in own if target_id != IGNORED]
    everything = sorted(corpus.tokens.tolist())
    words = [token for token in everything if token >= 10]
    assert sorted(token for token in predicted if token >= 10) == words  # each word is predicted once
    left_out = len(everything) - len(seen)
    assert left_out in (0, 1) and len(set(seen) - {2, 3}) in (
        len(words),
        len(words) - 1,
    )  # nothing follows the very last


def test_the_stream_goes_on_in_the_middle_of_an_epoch() -> None:
    loader = StreamLoader(corpus_of([30] * 20), batch_size=3, bptt=10, shuffle=True, engine=Rank())
    whole, rest = list(loader.batches(2)), list(loader.batches(2, 5))
    assert [b.inputs[0].tolist() for b in whole[5:]] == [b.inputs[0].tolist() for b in rest]
    other = [b.inputs[0].tolist() for b in loader.batches(3)]
    assert other != [b.inputs[0].tolist() for b in whole]


def test_windows_vary_as_in_the_paper() -> None:
    loader = StreamLoader(corpus_of([2000] * 200), batch_size=2, bptt=70, shuffle=True, engine=Rank())
    lengths = np.array([end - start for start, end in loader.windows(0)][:-1])
    assert abs(lengths.mean() - (0.95 * 70 + 0.05 * 35)) < 1 and lengths.min() >= 5
    assert 0.02 < (lengths < 52).mean() < 0.08
    fixed = StreamLoader(corpus_of([2000] * 20), batch_size=2, bptt=70, shuffle=False, engine=Rank())
    assert {end - start for start, end in fixed.windows(0)[:-1]} == {70}


@given(LENGTHS, st.integers(2, 9), st.integers(0, 2), st.booleans(), st.integers(20, 200))
def test_the_bucket_loader_gives_every_text_once(
    lengths: list[int], batch_size: int, epoch: int, shuffle: bool, most_tokens: int
) -> None:
    corpus = corpus_of(lengths)
    loader = BucketLoader(corpus, batch_size=batch_size, shuffle=shuffle, most_tokens=most_tokens, engine=Rank())
    batches = list(loader.batches(epoch))
    assert len(batches) == loader.steps(epoch)
    assert sorted(row for batch in batches for row in batch.index.tolist()) == list(range(len(lengths)))
    for batch in batches:
        tokens, own = batch.inputs
        assert tokens.shape[1] == int(own.max()) and batch.rows == len(tokens) >= (2 if shuffle else 1)
        assert batch.rows <= batch_size + 1 and (tokens.numel() <= most_tokens or batch.rows <= 3)
        for row, ids, length in zip(batch.index.tolist(), tokens, own.tolist(), strict=True):
            assert ids[:length].tolist() == corpus.text(row).tolist() and (ids[length:] == 1).all()


@pytest.mark.parametrize(("make", "said"), [
    (lambda: StreamLoader(corpus_of([]), batch_size=2, bptt=5, shuffle=True, engine=Engine("cpu")), "needs some text"),
    (lambda: StreamLoader(corpus_of([9]), batch_size=0, bptt=5, shuffle=True, engine=Engine("cpu")), "batch_size must be"),
    (lambda: StreamLoader(corpus_of([9]), batch_size=2, bptt=1, shuffle=True, engine=Engine("cpu")), "bptt must be"),
    (lambda: BucketLoader(corpus_of([9]), batch_size=4, shuffle=True, engine=Engine("cpu")), "at least 2 texts"),
    (lambda: BucketLoader(corpus_of([]), batch_size=4, shuffle=False, engine=Engine("cpu")), "there are no texts"),
    (lambda: BucketLoader(corpus_of([9, 9]), batch_size=1, shuffle=True, engine=Engine("cpu")), "batch_size must be"),
], ids=range(6))  # fmt: skip
def test_loaders_say_what_they_need(make: object, said: str) -> None:
    with pytest.raises((ConfigError, DataError), match=said):
        make()  # type: ignore[operator]
