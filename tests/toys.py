"""Small models, one for each shape of application: each must run through the unchanged loop."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vision_toys
from headstart import LanguageModelData, LanguageModelLearner, TextData, TextLearner, datasets
from headstart.collab import CollabLearner, RatingsData
from headstart.core.batch import Batch
from headstart.core.engine import Engine, seed_of
from headstart.frames.categories import Categories
from headstart.targets.target import Labels, weighted_mean
from headstart.training.callbacks import Callback
from headstart.training.learner import Learner
from headstart.training.loaders import Data, TensorLoader, share_of_rows, tensor_data
from headstart.training.progress import Progress
from headstart.vision import ImageData

WORDS, STREAMS, TOKENS = 11, 8, 40

# ---- a stateful language model: carried state, windows of varying length, rate scaling, a penalty on activations


class StreamModel(nn.Module):
    """A recurrent language model with tied weights that carries its state from window to window."""

    carried: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 12)
        self.recurrent = nn.GRU(12, 12, batch_first=True)
        self.decoder = nn.Linear(12, WORDS)
        self.decoder.weight = self.embedding.weight
        self.register_buffer("carried", torch.zeros(1, 0, 12), persistent=False)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return [[self.embedding], [self.recurrent], [self.decoder]]

    def forward(self, tokens: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        if self.carried.shape[1] != len(tokens):
            self.carried = torch.zeros(1, len(tokens), 12, device=tokens.device)
        state = self.carried * ~fresh[None, :, None]  # (1, batch, hidden)
        activations, state = self.recurrent(self.embedding(tokens), state)  # (batch, time, hidden)
        self.carried = state.detach()
        return self.decoder(activations), activations


class StreamLoader:
    """Windows of 3 to 7 tokens along eight parallel streams; each token is predicted once per epoch."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        start = torch.arange(STREAMS)[:, None] * 3
        self.tokens = (start + torch.arange(TOKENS + 1) * (1 + start % 2)) % WORDS  # (streams, time)

    def windows(self, epoch: int) -> list[tuple[int, int]]:
        random = torch.Generator().manual_seed(seed_of(7, epoch))
        ends = [0]
        while ends[-1] < TOKENS:
            ends.append(min(TOKENS, ends[-1] + int(torch.randint(3, 8, (), generator=random))))
        return list(pairwise(ends))

    def steps(self, epoch: int) -> int:
        return len(self.windows(epoch))

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        first, last = share_of_rows(0, STREAMS, self.engine.rank, self.engine.world_size)
        own = self.tokens[first:last]
        for start, end in self.windows(epoch)[start_step:]:
            fresh = torch.full((len(own),), start == 0)
            yield Batch(
                inputs=(own[:, start:end], fresh), target=own[:, start + 1 : end + 1],
                rows=len(own) * (end - start), rate=(end - start) / 5,
            )  # fmt: skip


class ActivationPenalty(Callback):
    def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        return loss + 0.01 * outputs[1].square().mean()


def stream_loss(outputs: Any, batch: Batch) -> Tensor:
    assert batch.target is not None
    return F.cross_entropy(outputs[0].flatten(0, 1), batch.target.flatten())


def stream_learner(engine: Engine) -> Learner:
    data = Data(train=StreamLoader(engine), valid=None, engine=engine)
    return Learner(
        seeded(StreamModel), data, loss=stream_loss, callbacks=[ActivationPenalty()], clip=0.5, progress="none"
    )


# ---- padded text with several labels per row, batches by length


class TaggingModel(nn.Module):
    """The mean of the embeddings of a document's own tokens, padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16)
        self.head = nn.Linear(16, 3)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return [[self.embedding], [self.head]]

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        own = (torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]).unsqueeze(2)  # (batch, time, 1)
        summed = (self.embedding(tokens) * own).sum(1)  # (batch, embedding)
        outputs: Tensor = self.head(summed / lengths[:, None])
        return outputs


class LengthLoader:
    """Documents sorted by length, so that their order is not the table's; padded to the longest of their batch."""

    def __init__(self, engine: Engine, rows: int = 32, batch_size: int = 8) -> None:
        self.engine, self.batch_size = engine, batch_size
        random = torch.Generator().manual_seed(3)
        lengths = torch.randint(1, 9, (rows,), generator=random)
        self.documents = [torch.randint(1, WORDS, (int(length),), generator=random) for length in lengths]
        self.target = torch.stack(
            [torch.stack([(doc == 1).any(), (doc > 8).any(), (doc < 4).any()]) for doc in self.documents]
        )
        self.order = lengths.argsort(stable=True)

    def steps(self, epoch: int) -> int:
        return -(-len(self.documents) // self.batch_size)

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for step in range(start_step, self.steps(epoch)):
            start, end = step * self.batch_size, min((step + 1) * self.batch_size, len(self.documents))
            start, end = share_of_rows(start, end, self.engine.rank, self.engine.world_size)
            index = self.order[start:end]
            documents = [self.documents[row] for row in index]
            padded = nn.utils.rnn.pad_sequence(documents, batch_first=True)
            lengths = torch.tensor([len(document) for document in documents])
            yield Batch(inputs=(padded, lengths), target=self.target[index].float(), rows=len(index), index=index)


def tagging_learner(engine: Engine) -> Learner:
    loader = LengthLoader(engine)
    target = Labels("tags", Categories("text", ("few", "many", "one")))
    return Learner(
        seeded(TaggingModel), Data(train=loader, valid=loader, target=target, engine=engine), progress="none"
    )


# ---- pairs to be ranked, without any target


class PairModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(9, 6), nn.Embedding(13, 6)

    def forward(self, user: Tensor, liked: Tensor, other: Tensor) -> Tensor:
        return (self.users(user) * (self.items(liked) - self.items(other))).sum(1)


def pair_loss(outputs: Tensor, batch: Batch) -> Tensor:
    return weighted_mean(-F.logsigmoid(outputs), batch)


class PairLearner(Learner):
    def validate(self, loader: Any = None) -> dict[str, float]:
        """Ranking supplies its own figures: here the share of pairs in the right order."""
        with torch.inference_mode():
            right = [(self.model.eval()(*batch.inputs) > 0).float().mean() for batch in self.data.valid.batches(0)]
        return {"right_order": float(torch.stack(right).mean())}


def pair_learner(engine: Engine) -> Learner:
    user = torch.arange(36) % 9
    liked, other = user % 13, (user + 5 + torch.arange(36) // 9) % 13
    loaders = [
        TensorLoader([user, liked, other], batch_size=12, shuffle=shuffle, engine=engine) for shuffle in (True, False)
    ]
    data = Data(train=loaders[0], valid=loaders[1], engine=engine)
    return PairLearner(seeded(PairModel), data, loss=pair_loss, progress="none")


# ---- a body and a head, to be trained from images or from precomputed activations


class PhotoModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return [[self.early], [self.late], [self.head]]

    def body(self, images: Tensor) -> Tensor:
        return self.late(self.early(images).relu()).relu().amax((2, 3))  # (batch, channels)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(images))
        return outputs


class HeadOnly(nn.Module):
    """The same head on activations: as many groups, the first ones empty, so that rates per group stay valid."""

    def __init__(self, whole: PhotoModel) -> None:
        super().__init__()
        self.head = whole.head

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return [[], [], [self.head]]

    def forward(self, activations: Tensor) -> Tensor:
        outputs: Tensor = self.head(activations)
        return outputs


def photos() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    label = torch.arange(32) % 2
    images = torch.rand(32, 1, 6, 6, generator=random) * 0.3
    images[label == 1, :, 2:4, 2:4] += 1
    return images, label


def class_loss(outputs: Tensor, batch: Batch) -> Tensor:
    assert batch.target is not None
    return weighted_mean(F.cross_entropy(outputs, batch.target, reduction="none"), batch)


def photo_learner(engine: Engine) -> Learner:
    data = tensor_data(photos(), photos(), batch_size=8, engine=engine)
    return Learner(seeded(PhotoModel), data, loss=class_loss, metrics=["accuracy"], progress="none")


# ---- a plain module of a user's own


def plain_learner(engine: Engine) -> Learner:
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(37, 5, generator=random)
    target = inputs @ torch.arange(5.0)[:, None] + 1
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1)))
    data = tensor_data((inputs, target), (inputs, target), batch_size=8, engine=engine)
    return Learner(model, data, loss=square_loss, metrics=["rmse"], progress="none")


def square_loss(outputs: Tensor, batch: Batch) -> Tensor:
    assert batch.target is not None
    return weighted_mean((outputs - batch.target).square().mean(1), batch)


def seeded(make: Any, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


# ---- ratings, with the users' and items' own past as inputs


def every_nth_row(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, nth: int) -> None:
    """Let ``datasets.get(name)`` give every nth row alone, so that an example on real data takes a moment."""
    whole = datasets.get

    def get(asked: str) -> Path:
        path = whole(asked)
        if asked != name:
            return path
        pl.read_parquet(path).gather_every(nth).write_parquet(folder / f"{name}.parquet")
        return folder / f"{name}.parquet"

    monkeypatch.setattr(datasets, "get", get)


def ratings(users: int = 12, items: int = 15, seed: int = 4) -> pl.DataFrame:
    """Two tastes: users and items of one kind like each other; two thirds of the pairs are rated."""
    pairs = [(user, item) for user in range(users) for item in range(items) if (user * 7 + item * 5 + seed) % 3]
    stars = [4 + (user // 2 + item) % 2 if user % 2 == item % 2 else 1 + (user * item) % 2 for user, item in pairs]
    return pl.DataFrame(
        {"user": [f"u{user:02}" for user, _ in pairs], "item": [item * 10 for _, item in pairs], "stars": stars}
    )


def ratings_learner(engine: Engine, *, implicit: bool = False) -> CollabLearner:
    table = ratings()
    data = RatingsData.from_table(
        table, "user", "item", "stars", valid=table, batch_size=40, unknown=0.0, engine=engine
    )
    return CollabLearner(data, factors=6, implicit=implicit, dropout=0.0, weight_decay=0.01, progress="none")


def implicit_learner(engine: Engine) -> CollabLearner:
    return ratings_learner(engine, implicit=True)


# ---- images: a pretrained backbone and a head, from images and from activations


def image_learner(engine: Engine, *, precompute: int = 0) -> Learner:
    images, labels = vision_toys.arrays()
    data = ImageData.from_arrays(
        images, labels, valid=(images, labels), size=32, batch_size=8, cache=vision_toys.cache(), engine=engine
    )
    return vision_toys.make_learner(data, precompute=precompute)


def activation_learner(engine: Engine) -> Learner:
    return image_learner(engine, precompute=1)


# ---- text: a language model, and a classifier


SENTENCES = [f"the {word} film was {'not ' * (n % 2)}{'good' if n % 3 else 'bad'} ." for n, word in enumerate(
    ["old", "new", "long", "short"] * 8
)]  # fmt: skip


def language_model_learner(engine: Engine) -> LanguageModelLearner:
    data = LanguageModelData.from_texts(
        SENTENCES, valid=SENTENCES[:8], min_freq=1, batch_size=4, bptt=12, engine=engine
    )
    return LanguageModelLearner(
        data, embedding_size=16, hidden=16, layers=2, dropout=0.01, alpha=0.0, beta=0.0, progress="none"
    )


def text_learner(engine: Engine) -> TextLearner:
    table = pl.DataFrame({"text": SENTENCES, "label": ["neg" if n % 3 else "pos" for n in range(len(SENTENCES))]})
    data = TextData.from_table(
        table, "text", "label", valid=table, min_freq=1, batch_size=8, word_vectors="none", engine=engine
    )
    return TextLearner(
        data, embedding_size=16, hidden=16, layers=1, dropout=0.01, head_hidden=0, alpha=0.0, beta=0.0, progress="none"
    )


LEARNERS = {
    "language model": language_model_learner,
    "text": text_learner,
    "stream": stream_learner,
    "tagging": tagging_learner,
    "pairs": pair_learner,
    "photos": photo_learner,
    "plain": plain_learner,
    "ratings": ratings_learner,
    "implicit ratings": implicit_learner,
    "images": image_learner,
    "activations": activation_learner,
}
