"""Quality floors on real data: what a change may not lose."""

from __future__ import annotations

import pytest

from headstart import Engine, LanguageModelData, LanguageModelLearner, TextData, TextLearner, datasets
from headstart.frames.door import read_table

pytestmark = pytest.mark.slow


def test_a_language_model_learns_english_from_sampled_words() -> None:
    """2,500 sentences: perplexity 112 was measured; the words' frequencies alone reach 231."""
    table = read_table(datasets.get("movie-snippets")).head(2500)
    data = LanguageModelData.from_table(table, "text", batch_size=32, bptt=40, min_freq=2, engine=Engine("cpu"))
    learner = LanguageModelLearner(data, embedding_size=64, hidden=96, sampled=500, progress="none")
    learner.fit_one_cycle(0.01, 2)
    assert learner.figures["perplexity"] < 120


def test_sentences_are_classified_from_scratch() -> None:
    """3,000 sentences, half of them positive: an AUC of .852 was measured, nearly all of it by the linear path.

    Before there was one, it was .770, with a log loss of about .6.
    """
    table = read_table(datasets.get("movie-snippets"))
    table = table.filter(table["label"].is_not_null()).sample(3000, seed=0)
    learner = TextLearner(
        TextData.from_table(table, "text", "label", word_vectors="none", engine=Engine("cpu")), progress="none"
    )
    path = learner.validate()
    assert path["auc"] > 0.83
    learner.fit_plan()
    assert learner.figures["auc"] > 0.83 and learner.figures["log_loss"] < path["log_loss"] + 0.01
