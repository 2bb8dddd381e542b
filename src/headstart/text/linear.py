"""`LinearPath`: a text's words, pairs of words and pieces of words, and its mean word vector, straight to the outputs.

It is solved, not trained: a convex problem of a few seconds, whose solution is learnt with the codec. The network
starts from its outputs and learns what they miss; of training texts these are outputs for texts that were held out, so
that the network sees how far they can be trusted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.core.convex import minimise
from headstart.targets.held_out import HeldOut, best_strength
from headstart.targets.target import Target
from headstart.text.ngrams import Grams, Sparse, character_grams, hash_words, join_sparse, word_grams
from headstart.text.tokens import Tokenized
from headstart.text.word_vectors import WordVectors, mean_of_words

__all__ = ["LinearPath", "fit_linear"]

FOLDS = 5
"""Parts of the training texts, each of which is held out once."""

STRENGTHS = (0.5, 2.0, 8.0, 32.0, 128.0)
"""How closely training texts are fitted by n-grams: factors of the loss against half the square of the weights
(scikit-learn's ``C``), tried in this order until the loss on held-out texts rises."""

MOST_TOKENS = 8_000_000
"""Largest number of tokens that is learnt from: of more text an even sample."""

MOST_WEIGHTS = 1 << 24
"""Largest number of weights of all folds together, which bounds memory to about a gigabyte."""

VECTOR_SCALE = 0.1
"""Size of the numbers of a single word's vector, beside n-grams with rows of length 1. The mean of many words has
smaller ones: divided by their spread across texts instead, the noise of long texts, whose means are all alike, would
weigh as much as what a few words of a short text say."""

VECTOR_STRENGTH = 32.0
"""How closely training texts are fitted by their mean vectors: the same however closely they are by n-grams, of which
there are the more that matter, the longer and the more numerous the texts are."""


@dataclass(frozen=True)
class LinearPath:
    """A linear model of texts.

    Attributes:
        words: the known words and pairs of words.
        characters: the known pieces of words.
        weights: float32 ``(n-grams, outputs)``: of words first.
        bias: float32 ``(outputs,)``.
        vector_words: int64 ``(words,)``: hashes of the words that have a vector.
        vector_weights: float32 ``(words,)``: weight of each in the mean of a text.
        vector_scores: float32 ``(words, outputs)``: what each adds to the outputs.
        strength: how closely the training texts were fitted by their n-grams.
        digest: of all the numbers, for comparisons.
    """

    words: Grams = field(compare=False)
    characters: Grams = field(compare=False)
    weights: Tensor = field(compare=False)
    bias: Tensor = field(compare=False)
    vector_words: Tensor = field(compare=False)
    vector_weights: Tensor = field(compare=False)
    vector_scores: Tensor = field(compare=False)
    strength: float
    digest: str

    def __repr__(self) -> str:
        return (
            f"LinearPath({len(self.words):,} words and pairs, {len(self.characters):,} pieces of words,"
            f" {len(self.vector_words):,} words with vectors)"
        )

    def outputs(self, texts: Tokenized) -> Tensor:
        """Return the outputs for texts, float32 ``(texts, outputs)``; each depends on its own text alone."""
        total = _times(_grams_of(self.words, self.characters, texts), self.weights)
        if len(self.vector_words):
            mean = mean_of_words(self.vector_words.numpy(), self.vector_weights.numpy(), texts)
            total += _times(mean, self.vector_scores)
        return total + self.bias


def fit_linear(
    texts: Tokenized, target: Target, encoded: Tensor, weight: Tensor | None, vectors: WordVectors | None
) -> tuple[LinearPath, Tensor]:
    """Solve the linear path for training texts.

    The loss is the target's own, with half the squared weights as a penalty. The penalty of an n-gram is the weaker,
    the more the target differs between texts with and without it. How strong the penalties of n-grams are in all is
    chosen by the loss on held-out texts: each fifth of the texts once, texts of the same words together; that of the
    mean vectors is fixed.

    **Source:** Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification" (2012), who
    scale n-grams by their log-count ratio; here by the square root of a ratio that any target has.

    Args:
        texts: the training texts.
        target: what is predicted.
        encoded: the texts' encoded targets, ``(texts, ...)``.
        weight: float ``(texts,)`` or None: weight of each text in the loss.
        vectors: pretrained vectors of words, or None.

    Returns:
        The path, and the outputs for the training texts, float32 ``(texts, outputs)``, each by a solution that has not
        seen its text or one of the same words.
    """
    chosen = _sample(texts)
    learnt = texts if chosen is None else _only(texts, chosen)
    rows = torch.arange(len(texts.lengths)) if chosen is None else torch.from_numpy(chosen)
    most = MOST_WEIGHTS // (2 * (FOLDS + 1) * target.outputs)
    words = Grams.fit(word_grams(learnt), len(learnt.lengths), most)
    characters = Grams.fit(character_grams(learnt), len(learnt.lengths), most)
    means, scale, offset = _vectors_of(learnt, vectors)
    parts = HeldOut.of(
        target, encoded[rows], torch.from_numpy(_folds(learnt)), FOLDS, None if weight is None else weight[rows]
    )
    problem = _Problem(_grams_of(words, characters, learnt), len(words) + len(characters), means, parts)
    strength, (solution, bias, held_out) = problem.solve()
    weights = solution[: problem.width]
    scores = torch.zeros(0, target.outputs)
    hashes, shares = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    if vectors is not None:
        hashes, shares = vectors.hashes, vectors.weights
        scores = (torch.from_numpy(vectors.vectors) * scale) @ solution[problem.width :]
        bias = bias - (offset * scale) @ solution[problem.width :]
    tensors = (words.hashes, words.idf, characters.hashes, characters.idf, weights, bias)
    path = LinearPath(
        words, characters, weights.contiguous(), bias, torch.from_numpy(hashes), torch.from_numpy(shares), scores,
        strength, _digest(*tensors, scores),
    )  # fmt: skip
    if chosen is None:
        return path, held_out
    outputs = path.outputs(texts)
    outputs[rows] = held_out
    return path, outputs


# ---- the convex problem


class _Problem:
    """Penalised linear models of all folds and of all rows at once: they share the pass over the n-grams.

    Args:
        grams: the rows' n-grams.
        width: number of n-grams.
        means: float32 ``(rows, width of the vectors)``.
        parts: the rows' targets, weights and folds.
    """

    def __init__(self, grams: Sparse, width: int, means: Tensor, parts: HeldOut) -> None:
        self.rows, self.width, self.means, self.parts = len(means), width, means, parts
        self.grams, self.across = grams, _transposed(grams, width)
        self.outputs = parts.target.outputs
        self.biases = torch.zeros(parts.models, self.outputs)
        self.weights = torch.zeros(width + means.shape[1], parts.models * self.outputs)
        self.factors = torch.ones_like(self.weights)

    def solve(self) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
        """Return the best strength; weights and bias of the model of all rows; and the outputs for held-out rows."""
        minimise([self.biases], self._constant)
        self.factors[: self.width] = self._factors()
        return best_strength(STRENGTHS, self._solved)

    def _solved(self, strength: float) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
        outputs = minimise([self.weights, self.biases], partial(self._penalised, strength))
        held_out = self.parts.unseen(outputs)
        whole = (self.weights * self.factors).view(len(self.weights), self.parts.models, self.outputs)[:, -1].clone()
        return self.parts.loss(held_out), (whole, self.biases[-1].clone(), held_out)

    def _constant(self) -> tuple[Tensor, list[Tensor], Tensor]:
        loss, slopes = self.parts.loss_and_slopes(self.biases.expand(self.rows, -1, -1))
        return loss, [slopes.sum(0)], slopes

    def _penalised(self, strength: float) -> tuple[Tensor, list[Tensor], Tensor]:
        scaled = self.weights * self.factors
        outputs = _times(self.grams, scaled[: self.width])
        outputs.addmm_(self.means, scaled[self.width :])
        outputs = outputs.view(self.rows, self.parts.models, self.outputs) + self.biases
        loss, slopes = self.parts.loss_and_slopes(outputs)
        flat = slopes.flatten(1)
        gradient = torch.cat([_times(self.across, flat), self.means.T @ flat]).mul_(self.factors)
        penalised = self.weights / (strength * self.rows)
        penalised[self.width :] *= strength / VECTOR_STRENGTH
        loss = loss + 0.5 * (penalised * self.weights).sum()
        return loss, [gradient.add_(penalised), slopes.sum(0)], outputs

    def _factors(self) -> Tensor:
        """Return the square root of how much each n-gram's rows differ in the target from the others."""
        _, slopes = self.parts.loss_and_slopes(self.biases.expand(self.rows, -1, -1))
        slopes = slopes * self.rows  # per row
        deviation = slopes.square().mean(0).sqrt().clamp_min(1e-6)  # (folds, outputs)
        present = Sparse(self.across.columns, np.ones_like(self.across.values), self.across.starts)
        totals = _times(present, (slopes / deviation).flatten(1)).view(self.width, self.parts.models, self.outputs)
        counts = _times(present, self.parts.weights).unsqueeze(2)  # (n-grams, folds, 1)
        return (totals.abs() / (counts + 1)).sqrt().flatten(1)


# ---- inside


def _grams_of(words: Grams, characters: Grams, texts: Tokenized) -> Sparse:
    count = len(texts.lengths)
    return join_sparse(
        words.encode(word_grams(texts), count), characters.encode(character_grams(texts), count), len(words)
    )


def _times(matrix: Sparse, dense: Tensor) -> Tensor:
    """Return the product of a sparse matrix and a dense one, ``(rows, width)``."""
    rows = len(matrix.starts) - 1
    if not len(matrix.columns) or not rows:
        return torch.zeros(rows, dense.shape[1])
    product: Tensor = F.embedding_bag(
        torch.from_numpy(matrix.columns), dense, torch.from_numpy(matrix.starts[:-1]), mode="sum",
        per_sample_weights=torch.from_numpy(matrix.values),
    )  # fmt: skip
    return product


def _transposed(matrix: Sparse, width: int) -> Sparse:
    order = np.argsort(matrix.columns, kind="stable")
    rows = np.repeat(np.arange(len(matrix.starts) - 1), np.diff(matrix.starts))
    starts = np.concatenate([[0], np.cumsum(np.bincount(matrix.columns, minlength=width))])
    return Sparse(rows[order], matrix.values[order], starts)


def _vectors_of(texts: Tokenized, vectors: WordVectors | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scaled mean vectors of texts around 0, and the factor and the offset that make them so."""
    if vectors is None:
        return torch.zeros(len(texts.lengths), 0), torch.zeros(0), torch.zeros(0)
    of_words = torch.from_numpy(vectors.vectors)
    means = _times(mean_of_words(vectors.hashes, vectors.weights, texts), of_words)
    offset = means.mean(0)
    scale = VECTOR_SCALE / of_words.std(0, correction=0).clamp_min(1e-3)
    return (means - offset) * scale, scale, offset


def _folds(texts: Tokenized) -> NDArray[np.int64]:
    """Return a fold for each text, by its words, so that repeated texts are held out together."""
    hashes = hash_words(texts.types).view(np.uint64)[texts.ids]
    place = np.arange(len(hashes), dtype=np.uint64) - np.repeat(
        np.cumsum(texts.lengths) - texts.lengths, texts.lengths
    ).astype(np.uint64)
    mixed = (hashes ^ (hashes >> np.uint64(29))) * (place * np.uint64(2) + np.uint64(1))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed)])
    ends = np.cumsum(texts.lengths)
    content = sums[ends] - sums[ends - texts.lengths]
    _, number = np.unique(content, return_inverse=True)  # even folds, in the order of the hashes
    return (number % FOLDS).astype(np.int64)


def _sample(texts: Tokenized) -> NDArray[np.int64] | None:
    """Return the texts to learn from, evenly spread; None: all."""
    if len(texts.ids) <= MOST_TOKENS:
        return None
    count = len(texts.lengths) * MOST_TOKENS // len(texts.ids)
    return np.linspace(0, len(texts.lengths) - 1, max(1, count)).astype(np.int64)


def _only(texts: Tokenized, rows: NDArray[np.int64]) -> Tokenized:
    wanted = np.zeros(len(texts.lengths), dtype=bool)
    wanted[rows] = True
    return Tokenized(texts.types, texts.ids[np.repeat(wanted, texts.lengths)], texts.lengths[wanted])


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
