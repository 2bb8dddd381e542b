"""Tokens keep the lesson's conventions, and many texts at once give what each alone gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart import ConfigError, DataError
from headstart.core.values import from_json, to_json
from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokenizing import AnyTokenizer, tokenizer_from_record
from headstart.text.tokens import SPECIALS, WordTokenizer, join_words, unspaced_share
from headstart.text.vocabulary import Vocabulary

CASES = [
    ("Wasn't it? It's GREAT.", ["was", "n't", "it", "?", "it", "'s", "great", "."]),
    ("one<br /><br />two", ["one", "<br>", "two"]),
    ("one\n\n\ntwo\nthree", ["one", "<br>", "two", "three"]),
    ("sooooo goood!!!!!!", ["sooo", "goood", "!!!"]),
    ("salt &amp; pepper, $3.50 or 1,000", ["salt", "&", "pepper", ",", "$", "3.50", "or", "1,000"]),
    ("1000000 x_y well-made", ["1000000", "x", "_", "y", "well", "-", "made"]),
    ("don’t", ["do", "n't"]),
    ("<cat> csni <summ> algorithms", ["<cat>", "csni", "<summ>", "algorithms"]),
    ("a <pad> b", ["a", "<unk>", "b"]),
    ("", []),
    (" \n ", []),
    ("you'll they've I'm he'd we're", ["you", "'ll", "they", "'ve", "i", "'m", "he", "'d", "we", "'re"]),
]


@pytest.mark.parametrize(("text", "tokens"), CASES, ids=range(len(CASES)))
def test_the_lesson_s_conventions(text: str, tokens: list[str]) -> None:
    assert WordTokenizer().tokens(text) == tokens


def test_capitals_may_be_kept() -> None:
    text = ". So, it wasn't quite was I was expecting, but I really liked it anyway! The best"
    expected = ". So , it was n't quite was I was expecting , but I really liked it anyway ! The best"
    assert " ".join(WordTokenizer(lower=False).tokens(text)) == expected
    assert WordTokenizer(lower=False).tokens("ISN'T") == ["IS", "N'T"]


TEXT = st.text(st.sampled_from("ab' n't<>br/!.,-&;\n\té Ü1’_“") | st.characters(codec="utf-8"), max_size=60)


@given(st.lists(TEXT, max_size=5))
def test_many_texts_give_what_each_alone_gives(texts: list[str]) -> None:
    for tokenizer in (WordTokenizer(), WordTokenizer(lower=False)):
        found = tokenizer.encode(texts)
        ends = np.cumsum(found.lengths)
        own = [
            [found.types[i] for i in found.ids[end - size : end]] for end, size in zip(ends, found.lengths, strict=True)
        ]
        assert own == [tokenizer.tokens(text) for text in texts]


@given(
    st.lists(st.sampled_from(["the", "film", "was", "n't", "it", "'s", "good", "!!!", "3.50", ",", "<br>", "<summ>"]))
)
def test_tokens_of_tokens_are_the_same(tokens: list[str]) -> None:
    """Two breaks beside each other are one."""
    single = [token for place, token in enumerate(tokens) if token != "<br>" or tokens[place - 1 : place] != ["<br>"]]
    assert WordTokenizer().tokens(" ".join(tokens)) == single


def test_words_are_written_as_one_writes_them() -> None:
    tokens = WordTokenizer().tokens('It wasn\'t "good" (at all), was it?<br />Well-made: $5.')
    assert join_words(tokens) == 'it wasn\'t "good" (at all), was it?\nwell-made: $5.'


def test_a_vocabulary_has_the_most_frequent_first() -> None:
    types, counts = ["rare", "b", "a", "often", "<summ>"], np.array([2, 3, 3, 9, 1])
    vocabulary = Vocabulary.of_counts(types, counts, min_freq=3, max_vocab=100, marks=["<summ>"])
    assert vocabulary.words == (*SPECIALS, "<summ>", "often", "a", "b")
    assert Vocabulary.of_counts(types, counts, max_vocab=6).words == (*SPECIALS, "often", "a")
    assert vocabulary.encode(["a", "never", "<bos>"]).tolist() == [6, 0, 2]
    assert vocabulary.decode([0, 5]) == ["<unk>", "often"]


def test_a_vocabulary_may_have_its_own_order_but_not_its_own_beginning() -> None:
    assert Vocabulary(("<unk>", "<pad>", "the", "<eos>", "<bos>")).id_of("<eos>") == 3
    for words in (("<pad>", "<unk>", "<bos>", "<eos>"), ("<unk>", "<pad>", "the"), (*SPECIALS, "a", "a")):
        with pytest.raises(DataError, match="a vocabulary begins with <unk>, <pad>, holds <bos>, <eos> somewhere"):
            Vocabulary(words)


@pytest.mark.parametrize(("options", "said"), [
    ({"min_freq": 0}, "min_freq must be a whole number of at least 1; got 0"),
    ({"min_freq": 1.5}, "min_freq must be a whole number"),
    ({"max_vocab": 4}, "max_vocab must be a whole number of at least 5; got 4"),
])  # fmt: skip
def test_limits_that_make_no_vocabulary(options: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Vocabulary.of_counts(["a"], np.array([3]), **options)


MARKED = {
    "हिन्दी": ["हिन्दी"],  # Devanagari: vowel signs and virama
    "বাংলা": ["বাংলা"],
    "தமிழ்": ["தமிழ்"],
    "جَمِيلة": ["جَمِيلة"],  # vowelled Arabic
    "שָׁלוֹם": ["שָׁלוֹם"],  # pointed Hebrew
    "cafe\u0301 na\u0308rrisch": ["café", "närrisch"],  # decomposed accents are composed
    "q\u0303": ["q\u0303"],  # there is no composed form
    "İstanbul": ["i\u0307stanbul"],
    "می\u200cخواهم": ["می\u200cخواهم"],  # a joiner inside a word of Persian
    "❤\ufe0f!": ["❤\ufe0f", "!"],
    "\ufeffgood Straß\u00adburg": ["good", "straßburg"],  # what cannot be seen is no part of a word
}


@pytest.mark.parametrize(("text", "tokens"), MARKED.items(), ids=range(len(MARKED)))
def test_marks_belong_to_their_letters(text: str, tokens: list[str]) -> None:
    assert WordTokenizer().tokens(text) == tokens
    assert [token.lower() for token in WordTokenizer(lower=False).tokens(text)] == tokens


def test_a_saved_model_keeps_the_rules_it_was_trained_by() -> None:
    assert WordTokenizer(rules=1).tokens("cafe\u0301 good") == ["cafe", "\u0301", "good"]


def test_subwords_do_not_cut_at_marks_either() -> None:
    texts = ["हिन्दी भाषा", "cafe\u0301 wasn't"] * 50
    tokenizer = SubwordTokenizer.fit(texts, size=400, marks=["<summ>"])
    assert len(tokenizer.tokens("हिन्दी")) == 1 and len(tokenizer.tokens("हिन्दी भाषा")) == 2
    assert tokenizer.tokens("cafe\u0301") == tokenizer.tokens("caf\u00e9")
    assert tokenizer.tokens("<summ> wasn't") == ["<summ>", "Ġwasn", "'t"] == tokenizer.tokens("<summ>wasn't")


def test_scripts_without_blanks_are_recognised() -> None:
    assert unspaced_share(["我喜欢这部电影", "good", "!"], [2, 1, 9]) == 14 / 18
    assert unspaced_share(["donaudampfschifffahrt", "İstanbul"], [5, 1]) == 0 == unspaced_share([], [])


def test_subwords_know_every_text_and_come_back_from_json() -> None:
    texts = ["The film was wonderful, truly wonderful.", "A dull film.", "<summ> wonderful films"] * 20
    tokenizer = SubwordTokenizer.fit(texts, size=320, marks=["<summ>"])
    assert tokenizer.words[:5] == (*SPECIALS, "<summ>")
    tokens = tokenizer.tokens("wonderful Übung 漢")
    assert "<unk>" not in tokens and tokenizer.join(tokens) == "wonderful übung 漢"
    assert "<summ>" in tokenizer.tokens("<summ> film") and "<pad>" not in tokenizer.tokens("a <pad>")
    record = to_json(tokenizer, kind=AnyTokenizer)
    again = from_json(AnyTokenizer, record)
    assert tokenizer_from_record(record) == again == tokenizer and again.tokens("A film") == tokenizer.tokens("A film")
    found = tokenizer.encode(["A film", "", "dull"])
    assert [found.types[i] for i in found.ids] == tokenizer.tokens("A film") + tokenizer.tokens("dull")
    with pytest.raises(ConfigError, match="max_vocab must be at least 300 for subwords"):
        SubwordTokenizer.fit(texts, size=100)


def test_a_tokenizer_of_later_rules_is_refused() -> None:
    record = to_json(WordTokenizer(lower=False), kind=AnyTokenizer)
    assert record == {"type": "WordTokenizer", "lower": False, "rules": 2}
    assert from_json(AnyTokenizer, record) == tokenizer_from_record(record) == WordTokenizer(lower=False)
    for read in (tokenizer_from_record, lambda later: from_json(AnyTokenizer, later)):
        with pytest.raises(ValueError, match="upgrade headstart"):
            read({**record, "rules": 99})
