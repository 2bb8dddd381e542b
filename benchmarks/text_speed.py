"""Speed on text: tokens, language-model steps and generation, beside fastai v2 and a plain LSTM.

    python -m benchmarks.text_speed [--rounds 3] [--only tokens|small|lesson|generation] [--no-peer] [--json FILE]

Protocol. One thread, CPU time; the sides take turns (A B A B ...), a ratio is the median over the rounds. fastai v2
runs in ``.venv-bench`` (see benchmarks/peer.py), with torch's fused Adam, twice: ``fastai`` with the setting of the
allocator that headstart makes by itself, ``fastai_as_installed`` without.

tokens      the 22,641 texts of clothing-reviews, from a list of texts to ids with a new vocabulary: headstart's
            `count_tokens`, `Vocabulary.of_counts`, `corpus`; fastai's `tokenize_df` and `Numericalize`, as
            `TextBlock.from_df` does it, in one process: ``fastai`` with its quickest tokenizer, which cuts at blanks
            after its rules (`BaseTokenizer`), ``fastai_default`` with its default, spaCy's.
small       a training step of AWD-LSTM 128/256/2, 64 x 72 tokens, vocabulary 10,000, fp32: forward, loss, activation
            penalties, backward, clipping, Adam. fastai: `AWD_LSTM`, `RNNRegularizer`'s terms, `CrossEntropyLossFlat`.
            plain: `nn.Embedding`, `nn.LSTM` layers, tied `nn.Linear`, `F.cross_entropy`, no dropout, in the same
            process and so with the same setting of the allocator.
lesson      the same with 400/1152/3.
generation  time per word after prompts of 10 and of 2,000 words, the reading of the prompt left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peer import PeerError, peer_python
from benchmarks.workers import ROOT
from headstart import Engine, datasets
from headstart.text import AWDLSTM, LanguageModel, TextCodec, Vocabulary, WordTokenizer
from headstart.text.corpus import count_tokens
from headstart.text.generation import generate
from headstart.text.tokens import SPECIALS

WORDS, BATCH, TIME = 10_000, 64, 72
SIZES = {"small": (128, 256, 2), "lesson": (400, 1152, 3)}
GOALS = {"small_of_fastai": 1.1, "lesson_of_fastai": 1.05, "of_plain": 0.9}

PEER_TOKENS = """
import sys, time
import pandas as pd
from fastai.text.core import BaseTokenizer, WordTokenizer, tokenize_df
from fastai.text.data import Numericalize, make_vocab
texts = pd.read_parquet(sys.argv[1], columns=["text"])
tokenizer = {"spacy": WordTokenizer, "blanks": BaseTokenizer}[sys.argv[2]]
for line in sys.stdin:
    start = time.process_time()
    found, counts = tokenize_df(texts, "text", n_workers=0, tok=tokenizer())
    numericalize = Numericalize(vocab=make_vocab(counts))
    ids = [numericalize(tokens) for tokens in found["text"]]
    print(time.process_time() - start, flush=True)
"""

PEER_STEP = """
import sys, time, torch
from benchmarks.protocol import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[7] == "kept":
    keep_freed_memory()
from fastai.text.all import AWD_LSTM, awd_lstm_lm_config, get_language_model, CrossEntropyLossFlat
width, hidden, layers = map(int, sys.argv[1:4])
words, batch, length = map(int, sys.argv[4:7])
config = awd_lstm_lm_config | {"emb_sz": width, "n_hid": hidden, "n_layers": layers}
model = get_language_model(AWD_LSTM, words, config=config).train()
optimizer = torch.optim.Adam(model.parameters(), betas=(0.7, 0.99), fused=True)
tokens, loss_function = torch.randint(0, words, (batch, length)), CrossEntropyLossFlat()
for line in sys.stdin:
    start = time.process_time()
    found, raw, dropped = model(tokens)
    loss = loss_function(found, tokens)
    loss = loss + 2 * dropped.pow(2).mean() + (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
    optimizer.step()
    optimizer.zero_grad()
    print(time.process_time() - start, flush=True)
"""


class PlainLanguageModel(nn.Module):
    """What a good user of torch would write: an embedding, LSTM layers without dropout, and a tied linear layer."""

    def __init__(self, words: int, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        widths = [width, *[hidden] * (layers - 1), width]
        self.layers = nn.ModuleList(
            nn.LSTM(a, b, batch_first=True)
            for a, b in zip(widths, widths[1:], strict=False)  # noqa: RUF007
        )
        self.decoder = nn.Linear(width, words)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits ``(batch, time, words)``."""
        values = self.embedding(tokens)
        for layer in self.layers:
            values, _ = layer(values)
        logits: Tensor = self.decoder(values)
        return logits


def timed_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], float]:
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.7, 0.99), fused=True)

    def step() -> float:
        start = time.process_time()
        loss().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - start

    return step


def our_step(width: int, hidden: int, layers: int) -> Callable[[], float]:
    model = LanguageModel(AWDLSTM(WORDS, embedding_size=width, hidden=hidden, layers=layers)).train()
    tokens, fresh = torch.randint(0, WORDS, (BATCH, TIME)), torch.zeros(BATCH, dtype=torch.bool)

    def loss() -> Tensor:
        found, [(raw, dropped)] = model(tokens, fresh, tokens)
        penalties = 2 * dropped.square().mean() + (raw[:, 1:] - raw[:, :-1]).square().mean()
        return found + penalties  # type: ignore[no-any-return]  # a module's call is untyped

    return timed_step(model, loss)


def plain_step(width: int, hidden: int, layers: int) -> Callable[[], float]:
    model = PlainLanguageModel(WORDS, width, hidden, layers).train()
    tokens = torch.randint(0, WORDS, (BATCH, TIME))
    return timed_step(model, lambda: F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()))


def peer(python: Path, code: str, *arguments: object) -> Callable[[], float]:
    process = subprocess.Popen(
        [str(python), "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def measure() -> float:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return measure


def our_tokens() -> Callable[[], float]:
    texts = pl.read_parquet(datasets.get("clothing-reviews"))["text"].to_list()

    def measure() -> float:
        start = time.process_time()
        counted = count_tokens([texts], WordTokenizer(), show=False)
        counted.corpus(Vocabulary.of_counts(counted.types, counted.counts))
        return time.process_time() - start

    return measure


def in_turn(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    runs: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            seconds = side()
            if number:  # the first warms up
                runs[name].append(seconds)
    found: dict[str, Any] = {f"{name}_seconds": round(statistics.median(taken), 4) for name, taken in runs.items()}
    for other in list(runs)[1:]:
        ratios = [theirs / ours for ours, theirs in zip(runs["headstart"], runs[other], strict=True)]
        found[f"of_{other}"] = round(statistics.median(ratios), 3)
        found[f"of_{other}_spread"] = [round(min(ratios), 3), round(max(ratios), 3)]
    return found


def measure_generation() -> dict[str, float]:
    words = (*SPECIALS, *(f"word{number}" for number in range(9_996)))
    codec = TextCodec(("text",), (), WordTokenizer(), Vocabulary(words))
    model = LanguageModel(AWDLSTM(len(words), embedding_size=128, hidden=256, layers=2))
    found = {}
    for length in (10, 2_000):
        prompt = " ".join(["word7"] * length)
        seconds = []
        for n_words in (1, 101):
            start = time.process_time()
            generate(model, codec, prompt, n_words, seed=1)
            seconds.append(time.process_time() - start)
        found[f"milliseconds_per_word_after_{length}"] = round((seconds[1] - seconds[0]) * 10, 3)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, and which goals they miss; return 1 if one is missed, else 0."""
    parser = argparse.ArgumentParser(description="Speed on text.")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--only", choices=["tokens", *SIZES, "generation"], action="append")
    parser.add_argument("--no-peer", action="store_true", help="leave fastai out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    Engine("cpu").begin()  # sets the allocator
    try:
        python = None if asked.no_peer else peer_python(lambda said: print(said, file=sys.stderr))
    except PeerError as error:
        print(f"without fastai: {error}", file=sys.stderr)
        python = None
    figures: dict[str, Any] = {}
    for name in asked.only or ["tokens", *SIZES, "generation"]:
        if name == "tokens":
            sides = {"headstart": our_tokens()}
            if python is not None:
                reviews = datasets.get("clothing-reviews")
                sides["fastai"] = peer(python, PEER_TOKENS, reviews, "blanks")
                sides["fastai_default"] = peer(python, PEER_TOKENS, reviews, "spacy")
            figures[name] = in_turn(sides, asked.rounds)
        elif name == "generation":
            figures[name] = measure_generation()
        else:
            size = SIZES[name]
            sides = {"headstart": our_step(*size), "plain": plain_step(*size)}
            if python is not None:
                sides["fastai"] = peer(python, PEER_STEP, *size, WORDS, BATCH, TIME, "kept")
                sides["fastai_as_installed"] = peer(python, PEER_STEP, *size, WORDS, BATCH, TIME, "as installed")
            figures[name] = in_turn(sides, asked.rounds)
            figures[name]["tokens_per_second"] = round(BATCH * TIME / figures[name]["headstart_seconds"])
        print(name, json.dumps(figures[name]), flush=True)
    missed = [
        f"{name} {figure}"
        for name, found in figures.items()
        for figure, goal in (("of_fastai", GOALS.get(f"{name}_of_fastai")), ("of_plain", GOALS["of_plain"]))
        if goal is not None and found.get(figure, goal) < goal
    ]
    print("missed: " + (", ".join(missed) or "nothing"))
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
