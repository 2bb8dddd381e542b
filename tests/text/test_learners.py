"""From texts to learners and back: training, starting from a language model, saving, predicting, explaining."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import headstart
from headstart import (
    ArtifactError,
    ConfigError,
    DataError,
    Engine,
    HeadstartWarning,
    LanguageModelData,
    LanguageModelLearner,
    TextData,
    TextLearner,
)
from headstart.frames.csv import CsvOptions
from headstart.frames.splits import by_indices
from headstart.text import Dropouts, TextEnsemble, Vocabulary
from headstart.text.pretrained import matched_rows, read_pretrained
from headstart.text.tokens import SPECIALS
from headstart.training.callbacks import Deadline

GOOD, BAD = ["wonderful", "moving", "funny", "great"], ["dull", "boring", "awful", "flat"]
NONE = Dropouts(0, 0, 0, 0, 0)


def reviews(rows: int = 240, seed: int = 0) -> pl.DataFrame:
    """Sentences whose label one word says, except after 'not'."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(rows):
        good, negated = random.random() < 0.5, random.random() < 0.3
        word = random.choice(GOOD if good else BAD)
        texts.append(f"The film {random.choice(['by him', 'of 1999', ''])} was {'not ' if negated else ''}{word}.")
        labels.append("pos" if good != negated else "neg")
    return pl.DataFrame({"text": texts, "label": labels})


def language_model(table: pl.DataFrame, epochs: int = 12, *, backward: bool = False) -> LanguageModelLearner:
    data = LanguageModelData.from_table(
        table, "text", batch_size=8, bptt=12, min_freq=1, backward=backward, engine=Engine("cpu")
    )
    learner = LanguageModelLearner(
        data, embedding_size=24, hidden=32, layers=2, dropouts=NONE, alpha=0.1, beta=0.1, progress="none"
    )
    learner.fit_one_cycle(0.02, epochs)
    return learner


def test_sampling_knows_the_words_frequencies_in_any_order_of_the_vocabulary() -> None:
    def frequencies(learner: LanguageModelLearner) -> dict[str, float]:
        assert learner.model.frequencies is not None
        return dict(zip(learner.codec.vocabulary.words, learner.model.frequencies.tolist(), strict=True))

    texts = ["a b b c c c", "c d"]
    usual = LanguageModelData.from_texts(texts, valid=texts, batch_size=1, bptt=4, min_freq=1, engine=Engine("cpu"))
    words = Vocabulary((*SPECIALS, "d", "e", "a", "c"))
    given = LanguageModelData.from_texts(
        texts, valid=texts, batch_size=1, bptt=4, vocabulary=words, engine=Engine("cpu")
    )
    learner = LanguageModelLearner(given, sampled=2, embedding_size=4, hidden=5, layers=1)
    expected = {"<bos>": 2, "<eos>": 2, "a": 1, "<unk>": 2, "c": 4, "d": 1}  # of 12 tokens; b is unknown
    assert frequencies(learner) == pytest.approx({word: expected.get(word, 0) / 12 for word in words.words})
    whole = LanguageModelLearner(usual, sampled=2, embedding_size=4, hidden=5, layers=1)
    assert frequencies(whole)["b"] == pytest.approx(2 / 12)
    learner.data = LanguageModelData.from_texts(
        ["a a"], valid=texts, batch_size=1, bptt=2, codec=given.codec, engine=Engine("cpu")
    )
    assert frequencies(learner)["a"] == 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text")


@pytest.fixture(scope="module")
def writer(folder: Path) -> LanguageModelLearner:
    learner = language_model(reviews())
    learner.save(folder / "forward")
    return learner


@pytest.fixture(scope="module")
def classifier(writer: LanguageModelLearner, folder: Path) -> TextLearner:
    data = TextData.from_table(
        reviews(), "text", "label", language_model=folder / "forward", batch_size=16, engine=Engine("cpu")
    )
    learner = TextLearner(data, dropout=0.1, head_hidden=0, alpha=0.1, beta=0.1, progress="none")
    learner.fine_tune(0.1, 12)
    learner.save(folder / "classifier")
    return learner


def test_fine_tuning_in_pieces_is_fine_tuning_in_one_go(writer: LanguageModelLearner, tmp_path: Path) -> None:
    writer.save(tmp_path / "start")
    data = TextData.from_table(reviews(80), "text", "label", language_model=tmp_path / "start", engine=Engine("cpu"))

    def tuned(deadline: Deadline | None, checkpoint: Path | None) -> TextLearner:
        learner = TextLearner(data, progress="none")
        learner.fine_tune(
            0.05, 3, frozen_epochs=2, callbacks=[] if deadline is None else [deadline], checkpoint=checkpoint,
            resume=checkpoint is not None,
        )  # fmt: skip
        return learner

    runs, deadline = 0, Deadline(0)
    learner = tuned(deadline, tmp_path / "pieces")
    while deadline.reached:
        runs, deadline = runs + 1, Deadline(0)
        learner = tuned(deadline, tmp_path / "pieces")
    assert runs == 8  # three stages of two epochs and one of three: an epoch a run
    whole = tuned(None, None)
    assert [row["epoch"] for row in learner.history] == [row["epoch"] for row in whole.history]
    for own, other in zip(learner.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(own, other)


def test_a_run_from_the_start_takes_nothing_from_an_earlier_one(writer: LanguageModelLearner, tmp_path: Path) -> None:
    writer.save(tmp_path / "start")
    data = TextData.from_table(reviews(40), "text", "label", language_model=tmp_path / "start", engine=Engine("cpu"))
    options = {"frozen_epochs": 1, "checkpoint": tmp_path / "pieces"}
    TextLearner(data, progress="none").fine_tune(0.05, 1, **options)
    broken_off = TextLearner(data, progress="none")
    broken_off.fine_tune(0.05, 1, callbacks=[Deadline(0)], **options)  # after its first stage
    assert len(broken_off.history) == 1 and "valid_loss" in broken_off.figures
    assert broken_off.figures.items() <= broken_off.history[0].items()
    again = TextLearner(data, progress="none")
    again.fine_tune(0.05, 1, callbacks=[Deadline(0)], resume=True, **options)
    assert len(again.history) == 2  # the earlier run's other stages are gone


@pytest.mark.parametrize("minutes", [-1, float("nan"), "10"])
def test_a_deadline_is_a_number_of_minutes(minutes: object) -> None:
    with pytest.raises(ConfigError, match="minutes must be a number of at least 0; got"):
        Deadline(minutes)  # type: ignore[arg-type]


def test_a_misspelt_or_contradicting_option_is_named(writer: LanguageModelLearner, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TextData has no option 'min_frq'; did you mean 'min_freq'"):
        TextData.from_texts(["a", "b"], ["x", "y"], min_frq=2)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="did you mean 'bptt'"):
        LanguageModelData.from_folder(tmp_path, bpt=2)  # type: ignore[call-arg]
    writer.save(tmp_path / "forward")
    with pytest.raises(ConfigError, match="backward=True, but the language model in .* reads forward"):
        TextData.from_table(reviews(9), "text", "label", language_model=tmp_path / "forward", backward=True)
    with pytest.raises(
        ConfigError, match="the tokenizer must be that of the language model in .*: leave tokenizer out"
    ):
        TextData.from_table(reviews(9), "text", "label", language_model=tmp_path / "forward", tokenizer="subwords")


# ---- language models


def test_a_language_model_learns_and_says_what_its_perplexity_means(writer: LanguageModelLearner) -> None:
    last = writer.history[-1]
    assert last["perplexity"] == pytest.approx(float(np.exp(last["valid_loss"]))) and last["perplexity"] < 4
    assert last["vocabulary"] == len(writer.codec.vocabulary) and last["unknown"] == 0 and last["accuracy"] > 0.5
    figures = writer.evaluate(pl.DataFrame({"text": ["Zebras quibble."] * 5}))
    assert figures["unknown"] == pytest.approx(2 / 3) and figures["perplexity"] > last["perplexity"]


def test_a_language_model_reads_later_files_like_the_first(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("\n".join(["exported today", "text;stars", *(f"{text};3" for text in reviews(30)["text"])]) + "\n")
    data = LanguageModelData.from_table(
        file, min_freq=1, batch_size=4, csv=CsvOptions(separator=";", skip=1), engine=Engine("cpu")
    )
    again = LanguageModelData.from_table(file, batch_size=4, codec=data.codec, engine=Engine("cpu"))
    assert again.train.fingerprint() == data.train.fingerprint()
    learner = LanguageModelLearner(data, embedding_size=8, hidden=8, layers=1, progress="none")
    assert learner.evaluate(file) == learner.evaluate(pl.DataFrame({"text": reviews(30)["text"]}))


def test_a_loaded_language_model_writes_the_same(writer: LanguageModelLearner, folder: Path) -> None:
    again = headstart.load(folder / "forward")
    assert isinstance(again, LanguageModelLearner)
    for options in ({}, {"temperature": 0.5, "top_k": 5}, {"top_p": 0.7}, {"temperature": 0}):
        assert again.generate("the film", 15, seed=4, **options) == writer.generate("the film", 15, seed=4, **options)
    assert again.generate("the film", 30, seed=1) != again.generate("the film", 30, seed=2)
    assert again.beam_search("the", 6) == writer.beam_search("the", 6)
    with pytest.raises(ConfigError, match="a language model predicts words, not rows"):
        again.predict(reviews(3))


def test_generation_never_writes_unk_and_ends_where_texts_end(folder: Path) -> None:
    """A model of which half the words are unknown would write little else."""
    table = pl.DataFrame({"text": [f"the {n}x{n}y {n}z film {n}q" for n in range(200)]})
    learner = LanguageModelLearner(
        LanguageModelData.from_table(table, "text", batch_size=8, bptt=10, min_freq=3, engine=Engine("cpu")),
        embedding_size=8, hidden=8, layers=1, dropouts=NONE, progress="none",
    )  # fmt: skip
    learner.fit(0.05, 3)
    probabilities = dict(learner.next_words("the", 50))
    assert "<unk>" not in probabilities and sum(probabilities.values()) < 0.5
    for seed in range(5):
        written = learner.generate("the", 40, seed=seed)
        assert not any(token in written for token in ("<unk>", "<pad>", "<bos>", "<eos>"))


def test_the_prompt_s_length_costs_nothing_per_word(writer: LanguageModelLearner) -> None:
    """The state is carried: a hundred words after 4,000 cost what they cost after one, the reading left out."""

    def seconds(prompt: str) -> float:
        started = time.process_time()
        writer.generate(prompt, 1, temperature=0)
        reading = time.process_time() - started
        started = time.process_time()
        for seed in range(5):
            writer.generate(prompt, 100, seed=seed)
        return time.process_time() - started - 5 * reading

    seconds("the")
    assert seconds("the film was . " * 1000) < 4 * seconds("the") + 0.2


def test_beams_find_what_the_model_finds_likely(writer: LanguageModelLearner) -> None:
    found = writer.beam_search("the film was", 8, beams=4)
    assert 1 <= len(found) <= 4 and any(way.complete for way in found)
    best = found[0]
    words = writer.codec.tokenizer.tokens(best.text) + (["<eos>"] if best.complete else [])
    prompt, total = "the film was", 0.0
    ids = writer.codec.ids(prompt)[:-1].tolist() + writer.codec.vocabulary.encode(words).tolist()
    with torch.no_grad():
        writer.model.reset()
        logits, _ = writer.model.eval()(torch.tensor([ids]), torch.ones(1, dtype=torch.bool))
        writer.model.reset()
    start = len(ids) - len(words)
    logits[:, :, [0, 1, 2]] = -torch.inf
    total = sum(float(logits[0, start + n - 1].log_softmax(0)[ids[start + n]]) for n in range(len(words)))
    assert best.log_probability == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize(("options", "said"), [
    ({"n_words": 0}, "n_words must be a whole number of at least 1; got 0"),
    ({"temperature": -1}, "temperature must be a number of 0 or more"),
    ({"top_k": 0}, "top_k must be a whole number"),
    ({"top_p": 1.5}, "top_p must lie above 0 and at most at 1"),
])  # fmt: skip
def test_options_that_write_nothing(writer: LanguageModelLearner, options: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        writer.generate("the", **options)
    with pytest.raises(ConfigError, match="beams must be"):
        writer.beam_search("the", beams=0)
    with pytest.raises(ConfigError, match="k must be"):
        writer.next_words("the", 0)


def test_a_backward_model_reads_from_the_end() -> None:
    backward = language_model(reviews(), backward=True)
    assert backward.codec.ids("the film was").tolist() == [
        2, *reversed(backward.codec.vocabulary.encode(["the", "film", "was"]).tolist()), 3
    ]  # fmt: skip
    words = dict(backward.next_words(".", 12))
    assert set(GOOD) & set(words) and words.get("the", 0) < 0.05
    assert backward.generate(".", 10, temperature=0).startswith("the film")
    assert backward.history[-1]["perplexity"] < 5


# ---- vocabulary matching


def test_known_words_keep_their_rows_and_new_ones_get_the_mean(writer: LanguageModelLearner, folder: Path) -> None:
    known = writer.codec.vocabulary
    wanted = Vocabulary((*known.words[:4], "zebra", "film", "wonderful"))
    rows = torch.arange(len(known) * 2.0).reshape(-1, 2)
    found = matched_rows(rows, known, wanted)
    assert torch.equal(found[:4], rows[:4]) and torch.equal(found[5], rows[known.id_of("film")])
    assert torch.equal(found[4], rows.mean(0))
    data = LanguageModelData.from_texts(
        ["zebra film wonderful"] * 20, vocabulary=wanted, batch_size=2, bptt=5, engine=Engine("cpu")
    )
    learner = LanguageModelLearner(data, language_model=folder / "forward", progress="none")
    vectors, before = learner.model.encoder.embedding.weight, writer.model.encoder.embedding.weight
    assert torch.equal(vectors[5], before[known.id_of("film")])
    torch.testing.assert_close(vectors[4], before.mean(0))
    assert torch.equal(learner.model.bias[6], writer.model.bias[known.id_of("wonderful")])
    layer = learner.model.encoder.layers[1].weight_hh_l0
    assert torch.equal(layer, writer.model.encoder.layers[1].weight_hh_l0)


def test_an_encoder_goes_from_one_learner_to_another(writer: LanguageModelLearner, folder: Path) -> None:
    writer.save_encoder(folder / "encoder")
    assert json.loads((folder / "encoder" / "encoder.json").read_text())["design"] == {
        "embedding_size": 24, "hidden": 32, "layers": 2
    }  # fmt: skip
    data = TextData.from_table(reviews(), "text", "label", min_freq=1, engine=Engine("cpu"))
    learner = TextLearner(data, embedding_size=24, hidden=32, layers=2, progress="none")
    learner.load_encoder(folder / "encoder")
    word, other = (model.codec.vocabulary.id_of("dull") for model in (learner, writer))
    assert torch.equal(learner.model.encoder.embedding.weight[word], writer.model.encoder.embedding.weight[other])
    small = TextLearner(data, embedding_size=8, hidden=8, layers=1, progress="none")
    with pytest.raises(ArtifactError, match=r"has the sizes .*24.* this learner .*8"):
        small.load_encoder(folder / "encoder")
    backward = TextData.from_table(reviews(), "text", "label", min_freq=1, backward=True, engine=Engine("cpu"))
    with pytest.raises(ArtifactError, match="reads forward, these data backward"):
        TextLearner(backward, language_model=folder / "encoder", progress="none")
    with pytest.raises(
        ConfigError, match="hidden=7, but the language model to start from has 32, .*: leave hidden out"
    ):
        TextLearner(data, language_model=folder / "encoder", hidden=7)


# ---- classifiers


def test_a_classifier_starts_from_a_language_model_and_learns(classifier: TextLearner) -> None:
    assert classifier.history[-1]["accuracy"] > 0.9
    assert [figures["fit"] for figures in classifier.history[:4]] == [0, 1, 2, 3]  # three stages, then everything
    answer = classifier.predict("The film was not boring.")
    assert answer["prediction"] == "pos" and answer["probability_pos"] > 0.5
    assert answer.keys() == {"prediction", "probability_neg", "probability_pos"}


def test_one_text_a_list_and_a_table_get_the_same_answers(classifier: TextLearner) -> None:
    texts = ["The film was great.", "", "Dull. " * 200, "zebra"]
    listed = classifier.predict(texts)
    table = classifier.predict(pl.DataFrame({"text": [*texts[:1], None, *texts[2:]], "other": [1, 2, 3, 4]}))
    assert listed.equals(table) and listed.columns == ["prediction", "probability_neg", "probability_pos"]
    for text, row in zip(texts, listed.iter_rows(named=True), strict=True):
        alone = classifier.predict(text)
        assert alone["prediction"] == row["prediction"]
        assert alone["probability_pos"] == pytest.approx(row["probability_pos"], abs=1e-5)
        assert classifier.predict({"text": text})["probability_pos"] == alone["probability_pos"]
    assert len(classifier.predict([])) == 0
    assert type(classifier.predict(pl.DataFrame({"text": texts}).to_pandas())).__module__.startswith("pandas")


def test_a_saved_classifier_gives_the_same_bits(classifier: TextLearner, folder: Path) -> None:
    again = headstart.load(folder / "classifier")
    assert isinstance(again, TextLearner)
    texts = reviews(50, seed=3)
    assert again.predict(texts).equals(classifier.predict(texts))
    assert again.evaluate(texts) == classifier.evaluate(texts)
    assert "film" in again.codec.vocabulary.words and again.codec.label.classes == ("neg", "pos")
    other = TextData.from_table(texts, "text", "label", min_freq=1, engine=Engine("cpu"))
    with pytest.raises(ArtifactError, match="another codec than this learner"):
        TextLearner(other, embedding_size=24, hidden=32, layers=2).load(folder / "classifier")
    with pytest.raises(ConfigError, match="another codec than the learner"):
        again.data = other


def test_contributions_are_what_the_word_s_absence_costs(classifier: TextLearner) -> None:
    found = classifier.explain("The film was awful.")
    assert found.of == "neg" and found.tokens == ("the", "film", "was", "awful", ".")
    whole, without = (classifier.predict(text) for text in ("The film was awful.", "The film was <unk>."))
    odds = [float(np.log(answer["probability_neg"] / answer["probability_pos"])) for answer in (whole, without)]
    assert found.contributions[3] == pytest.approx(odds[0] - odds[1], abs=0.01 * abs(odds[0]) + 0.01)
    assert found.table()["contribution"].to_list() == list(found.contributions) and found.contributions[3] > 0
    assert len(classifier.explain("awful " * 150).contributions) == 150
    against = classifier.explain("The film was awful.", of="pos")
    assert against.contributions == pytest.approx([-value for value in found.contributions], abs=1e-4)
    assert "awful" in found.text().plain and "awful" in found._repr_html_()
    with pytest.raises(ConfigError, match="there is no class 'positive'; "):
        classifier.explain("a", of="positive")


def test_the_worst_come_first(classifier: TextLearner) -> None:
    worst = classifier.interpret(5)
    assert worst.columns == ["text", "label", "prediction", "probability_neg", "probability_pos", "loss"]
    assert worst["loss"].to_list() == sorted(worst["loss"].to_list(), reverse=True)
    row = worst.row(0, named=True)
    assert row["loss"] == pytest.approx(-np.log(row[f"probability_{row['label']}"]), abs=1e-4)
    assert row["text"] in reviews()["text"].to_list()
    matrix = classifier.confusion_matrix()
    assert matrix.columns == ["class", "predicted_neg", "predicted_pos"]
    assert matrix.drop("class").sum_horizontal().sum() == classifier.data.valid.rows
    assert len(classifier.plot_confusion().axes) >= 1


def test_several_labels_class_weights_and_several_columns() -> None:
    rows = reviews(80).with_columns(
        pl.col("label").map_elements(lambda label: [label] if label == "pos" else [], pl.List(pl.String)).alias("tags"),
        pl.lit("A title").alias("title"),
    )
    data = TextData.from_table(
        rows, {"title": "head", "text": "body"}, "tags", min_freq=1, batch_size=16, engine=Engine("cpu")
    )
    assert data.codec.marks == ("<head>", "<body>") and data.codec.vocabulary.words[4:6] == ("<head>", "<body>")
    learner = TextLearner(data, embedding_size=8, hidden=8, layers=1, progress="none")
    learner.fit_one_cycle(0.02, 2)
    answer = learner.predict({"title": "A", "text": "The film was great."})
    assert answer.keys() == {"prediction", "probability_pos"} and isinstance(answer["prediction"], list)
    assert learner.explain({"title": "A", "text": "great"}).tokens == ("<head>", "a", "<body>", "great")
    with pytest.raises(DataError, match="the row has no text column 'title'"):
        learner.predict({"text": "great"})
    with pytest.raises(ConfigError, match="give a table, or a dictionary"):
        learner.predict(["great"])
    weighted = TextData.from_table(
        reviews(80), "text", "label", class_weight={"pos": 3.0, "neg": 1.0}, engine=Engine("cpu")
    )
    assert weighted.train.weight is not None and weighted.train.weight.unique().numel() == 2


def test_forward_and_backward_answer_together(classifier: TextLearner, folder: Path) -> None:
    data = TextData.from_table(
        reviews(), "text", "label", backward=True, min_freq=1, batch_size=16, engine=Engine("cpu")
    )
    backward = TextLearner(data, embedding_size=16, hidden=16, layers=1, dropout=0.2, progress="none")
    backward.fit_one_cycle(0.03, 4)
    both = TextEnsemble([classifier, backward])
    assert both.validate().keys() == {"accuracy", "balanced_accuracy", "auc", "log_loss"}
    mean = (classifier.predict("Not bad.")["probability_pos"] + backward.predict("Not bad.")["probability_pos"]) / 2
    assert both.predict("Not bad.")["probability_pos"] == pytest.approx(mean, abs=1e-6)
    assert both.predict(["Not bad.", "Dull."])["probability_pos"][0] == pytest.approx(mean, abs=1e-6)
    few = reviews(3)
    expected = both.predict(few)
    for rows in (few["text"], few["text"].to_list(), few["text"].to_pandas(), few.select("text").to_dicts()):
        assert both.predict(rows).equals(expected)
    assert both.predict(few.to_pandas().iloc[1]) == both.predict(few["text"][1])
    both.save(folder / "both")
    again = headstart.load(folder / "both")
    assert again.predict(reviews(20)).equals(both.predict(reviews(20))) and again.metrics == both.metrics
    assert again.evaluate(reviews(30)) == both.evaluate(reviews(30))
    other = TextData.from_table(
        reviews().with_columns(pl.col("label").str.to_uppercase()), "text", "label", engine=Engine("cpu")
    )
    with pytest.raises(ConfigError, match="the same column of labels, with the same classes"):
        TextEnsemble([classifier, TextLearner(other, embedding_size=8, hidden=8, layers=1)])
    with pytest.raises(ConfigError, match="needs trained text learners"):
        TextEnsemble([])


def test_a_million_words_are_read_in_bounded_memory() -> None:
    """Some 5 seconds: a document of a million words, read by a tiny model, in windows."""
    data = TextData.from_table(reviews(40), "text", "label", min_freq=1, engine=Engine("cpu"))
    learner = TextLearner(data, embedding_size=2, hidden=2, layers=1, bptt=20_000, progress="none")
    answer = learner.predict("great film " * 500_000)
    assert 0 < answer["probability_pos"] < 1


# ---- where texts come from


def write_folder(root: Path) -> None:
    for part in ("train", "test"):
        for label in ("pos", "neg"):
            (root / part / label).mkdir(parents=True)
            for number in range(12):
                word = (GOOD if label == "pos" else BAD)[number % 4]
                (root / part / label / f"{number}.txt").write_text(f"The film was {word}.")
    (root / "train" / "unsup").mkdir()
    (root / "train" / "unsup" / "0.txt").write_text("Whatever it was.")
    (root / "train" / "urls.txt").write_text("no text")


def test_the_layout_of_imdb(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = TextData.from_folder(tmp_path, min_freq=1, engine=Engine("cpu"))
    assert data.codec.target is not None and data.codec.target.classes == ("neg", "pos")
    assert (data.train.rows, data.valid.rows) == (24, 24) and "whatever" not in data.codec.vocabulary.words
    corpus = LanguageModelData.from_folder(tmp_path, min_freq=1, batch_size=2, bptt=5, engine=Engine("cpu"))
    assert "whatever" in corpus.codec.vocabulary.words and len(corpus.train.corpus) == 26
    with pytest.raises(ConfigError, match=r"valid='valid' is no folder there; there are: test, train"):
        TextData.from_folder(tmp_path, valid="valid")
    with pytest.raises(ConfigError, match="by split= or by valid=, not by both"):
        TextData.from_folder(tmp_path, valid="test", split=by_indices([0]))


def test_bytes_that_are_not_utf_8_are_read_and_told_of(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "train" / "pos" / "0.txt").write_bytes(b"The caf\xe9 was great.")
    with pytest.warns(HeadstartWarning, match=r"1 of 48 files are not UTF-8 throughout \(.*0.txt is the first\)"):
        data = TextData.from_folder(tmp_path, min_freq=1, engine=Engine("cpu"))
    assert "caf" in data.codec.vocabulary.words and "\ufffd" in data.codec.vocabulary.words


def test_lists_of_texts_and_empty_ones() -> None:
    data = TextData.from_texts(
        ["great film", "", "dull film", "  "] * 10, ["a", "b", "b", "a"] * 10, engine=Engine("cpu")
    )
    assert any(note.startswith("training: empty texts: ") for note in data.notes) and "vocabulary" in data.notes[0]
    assert TextLearner(data, embedding_size=4, hidden=4, layers=1, progress="none").fit(0.01, 1)[-1]["train_loss"] > 0


def test_a_codec_goes_on_with_new_rows_and_a_given_vocabulary_is_kept(classifier: TextLearner) -> None:
    data = TextData.from_table(reviews(60, seed=9), "text", "label", codec=classifier.codec, engine=Engine("cpu"))
    assert data.codec == classifier.codec
    vocabulary = Vocabulary(("<unk>", "<pad>", "film", "<eos>", "the", "<bos>"))
    own = LanguageModelData.from_texts(
        ["The film ran."] * 9, vocabulary=vocabulary, batch_size=2, bptt=4, engine=Engine("cpu")
    )
    assert own.train.corpus.text(0).tolist() == [5, 4, 2, 0, 0, 3]
    targets = torch.cat([batch.inputs[2].flatten() for batch in own.train.batches(0)])
    assert 5 not in targets.tolist() and 3 in targets.tolist()


def broken(**options: object) -> Callable[[], object]:
    arguments: dict[str, object] = {"table": reviews(20), "text": "text", "label": "label"} | options
    return lambda: TextData.from_table(engine=Engine("cpu"), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("make", "error", "said"), [
    (broken(text="txet"), DataError, "did you mean 'text'"),
    (broken(label="lable"), DataError, "did you mean 'label'"),
    (broken(label="text"), ConfigError, "'text' cannot be both text and label"),
    (broken(text=[]), ConfigError, "text must be a column's name"),
    (broken(text={"text": "Ä"}), ConfigError, "field marks 'Ä' must be different words"),
    (broken(table=reviews(20).with_columns(pl.lit("one").alias("label"))), DataError, "has one class in the training rows"),
    (broken(table=reviews(20).with_columns(pl.lit([1]).alias("text"))), DataError, "text column 'text' holds List"),
    (broken(table=reviews(20).with_columns(pl.lit(None).cast(pl.String).alias("label"))), DataError, "is missing in"),
    (broken(tokenizer="word"), ConfigError, "tokenizer must be 'words'.* or a WordTokenizer.*; got 'word'"),
    (broken(split=by_indices([0]), valid=reviews(5)), ConfigError, "by split= or by valid=, not by both"),
    (broken(batch_size=0), ConfigError, "batch_size must be a whole number of at least 1; got 0"),
    (broken(language_model="nowhere"), ArtifactError, "there is no folder nowhere"),
    (lambda: TextData.from_texts(["a"], []), DataError, "got 1 texts and 0 labels"),
    (lambda: LanguageModelData.from_texts("a text"), DataError, "texts must be a list of texts"),
    (lambda: LanguageModelData.from_pieces(iter([["a"]]), None, tokenizer="subwords"), ConfigError, "not a generator"),
    (lambda: LanguageModelData.from_folder("nowhere"), DataError, "there is no folder nowhere"),
], ids=range(16))  # fmt: skip
def test_data_that_cannot_be_learnt_from(make: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_other_learners_are_no_language_models(tmp_path: Path, classifier: TextLearner) -> None:
    assert read_pretrained(classifier.save(tmp_path / "c")).bias is None
    table = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0] * 5, "y": [1.0, 2.0, 3.0, 4.0] * 5})
    tabular = headstart.TabularLearner(headstart.TabularData.from_table(table, "y"), hidden=[4])
    tabular.save(tmp_path / "t")
    with pytest.raises(ArtifactError, match="holds a model of the application 'tabular'; a language model is needed"):
        read_pretrained(tmp_path / "t")


def test_what_a_codec_has_settled_is_not_given_again() -> None:
    table = pl.DataFrame({"text": ["good film", "bad film"] * 10, "label": ["pos", "neg"] * 10})
    codec = TextData.from_table(table, "text", "label", engine=Engine("cpu")).codec
    for option in ({"min_freq": 50}, {"max_vocab": 6}, {"backward": True}):
        with pytest.raises(ConfigError, match=f"{next(iter(option))} is part of the codec, which was given"):
            TextData.from_table(table, "text", "label", codec=codec, engine=Engine("cpu"), **option)
        with pytest.raises(ConfigError, match=f"{next(iter(option))} is part of the codec, which was given"):
            LanguageModelData.from_table(table, "text", codec=codec, engine=Engine("cpu"), **option)


def test_a_label_may_be_called_prediction() -> None:
    table = pl.DataFrame({"text": ["good film", "bad film"] * 10, "prediction": ["pos", "neg"] * 10})
    data = TextData.from_table(table, "text", "prediction", batch_size=4, engine=Engine("cpu"))
    worst = TextLearner(data, hidden=8, embedding_size=8, layers=1, progress="none").interpret(3)
    assert worst.columns[:2] == ["text", "prediction"] and "loss" in worst.columns


def test_a_language_model_refuses_metrics_and_a_loss_of_its_own() -> None:
    data = LanguageModelData.from_texts(["a good film", "a bad film"] * 20, min_freq=1, engine=Engine("cpu"))
    for option in ({"metrics": ["accuracy"]}, {"loss": lambda outputs, batch: outputs[0]}):
        with pytest.raises(ConfigError, match="a language model has its own loss and figures: leave"):
            LanguageModelLearner(data, **option)


def test_texts_without_blanks_are_noted() -> None:
    texts = ["我喜欢这部电影 good", "这部电影不好 bad"] * 10
    with pytest.warns(HeadstartWarning, match="scripts without blanks between words.*use tokenizer='subwords'"):
        TextData.from_texts(texts, ["a", "b"] * 10, batch_size=4, min_freq=1)
    TextData.from_texts(texts, ["a", "b"] * 10, batch_size=4, tokenizer="subwords", max_vocab=400)  # no warning
