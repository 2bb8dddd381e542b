"""AWD-LSTM: state, dropout masks, weight drop, the loss in chunks, pooling; each against a plain reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart import ConfigError
from headstart.text.models import awd_lstm
from headstart.text.models.awd_lstm import (
    AWDLSTM,
    Dropouts,
    LanguageModel,
    WeightDropLSTM,
    dropped_weights,
    locked_dropout,
    lstm_runs_in_bf16,
)
from headstart.text.models.classifier import TextClassifier
from headstart.text.models.softmax import IGNORED, cross_entropy_in_chunks
from headstart.text.penalty import ActivationPenalty

NONE = Dropouts(0, 0, 0, 0, 0)


def encoder(dropouts: Dropouts = NONE, words: int = 30) -> AWDLSTM:
    torch.manual_seed(0)
    return AWDLSTM(words, embedding_size=6, hidden=9, layers=2, dropouts=dropouts)


def tokens(batch: int, time: int, seed: int = 1) -> Tensor:
    return torch.randint(4, 30, (batch, time), generator=torch.Generator().manual_seed(seed))


def test_two_windows_equal_one_long_one() -> None:
    model = LanguageModel(encoder()).eval()
    text, start = tokens(3, 14), torch.ones(3, dtype=torch.bool)
    whole, _ = model(text, start)
    model.reset()
    parts = [model(text[:, :5], start)[0], model(text[:, 5:], ~start)[0]]
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    fresh = torch.tensor([False, True, False])  # the second begins anew, its neighbours go on
    model(text, start)
    mixed, _ = model(text, fresh)
    torch.testing.assert_close(mixed[1], whole[1])
    assert not torch.allclose(mixed[0], whole[0])


def test_a_fresh_stream_forgets_a_state_that_is_not_a_number() -> None:
    model = LanguageModel(encoder()).eval()
    text, start = tokens(2, 5), torch.ones(2, dtype=torch.bool)
    expected, _ = model(text, start)
    for number in range(2):
        model.get_buffer(f"carried_hidden{number}").fill_(torch.nan)
        model.get_buffer(f"carried_cell{number}").fill_(torch.inf)
    torch.testing.assert_close(model(text, start)[0], expected)


def test_the_encoder_is_torch_s_own_lstm() -> None:
    model = encoder().eval()
    plain = nn.LSTM(6, 9, batch_first=True), nn.LSTM(9, 6, batch_first=True)
    for own, layer in zip(plain, model.layers, strict=True):
        own.load_state_dict(layer.state_dict())
    expected = plain[1](plain[0](model.embedding(tokens(2, 7)))[0])[0]
    torch.testing.assert_close(model(tokens(2, 7), model.no_state(2))[0], expected)
    torch.testing.assert_close(model.train()(tokens(2, 7), model.no_state(2))[0], expected)  # no dropout: the same


def test_masks_are_shared_over_time_and_differ_between_texts() -> None:
    torch.manual_seed(0)
    dropped = locked_dropout(torch.ones(50, 7, 40), 0.3)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1])
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.05)


def test_embedding_dropout_drops_whole_words_everywhere() -> None:
    model = encoder(Dropouts(0.4, 0, 0, 0, 0)).train()
    text = torch.arange(4, 30).repeat(2)[None]
    factors = (model.embed(text) / model.embedding(text))[0]
    assert torch.equal(factors[:26], factors[26:]) and bool((factors.std(1) < 1e-6).all())
    values = {round(float(factor), 4) for factor in factors[:, 0].detach()}
    assert values == {0.0, round(1 / 0.6, 4)}


@pytest.mark.parametrize("probability", [0.1, 0.4, 0.999999])
def test_weight_drop_has_the_right_expectation(probability: float) -> None:
    torch.manual_seed(0)
    weights = torch.randn(7, 5)  # no whole number of the random bits drawn at a time
    runs = torch.stack([dropped_weights(weights, probability) for _ in range(4000)])
    dropped = (runs == 0).float().mean(0)
    torch.testing.assert_close(dropped, torch.full_like(dropped, probability), atol=0.04, rtol=0)
    if probability < 0.9:
        torch.testing.assert_close(runs.mean(0), weights, atol=0.15, rtol=0)
        flat = (runs == 0).flatten(1).float()
        assert flat.T.corrcoef().fill_diagonal_(0).abs().max() < 0.08  # each weight is dropped by itself
    kept = runs[runs != 0] * (1 - round(probability * 2**16) / 2**16 if probability < 0.9 else 2**-16)
    assert set(kept.round(decimals=3).tolist()) <= set(weights.flatten().round(decimals=3).tolist())


def test_weight_drop_leaves_the_weights() -> None:
    layer = WeightDropLSTM(4, 5, 0.4).train()
    kept = layer.weight_hh_l0.clone()
    text, state = torch.randn(1, 1, 4), (torch.randn(1, 1, 5), torch.zeros(1, 1, 5))
    runs = torch.stack([layer(text, state)[0].flatten() for _ in range(30)])
    assert torch.equal(layer.weight_hh_l0, kept)
    assert runs.std(0).min() > 1e-3  # another mask each time
    assert torch.equal(layer.eval()(text, state)[0], layer(text, state)[0])


def test_weight_drop_uses_one_mask_for_all_times() -> None:
    """With the input's part silenced and the state fed back, equal steps mean equal weights."""
    torch.manual_seed(0)
    layer = WeightDropLSTM(3, 4, 0.5).train()
    text, zero = torch.randn(1, 6, 3), (torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))
    torch.manual_seed(9)
    whole, _ = layer(text, zero)
    torch.manual_seed(9)
    dropped = dropped_weights(layer.weight_hh_l0, 0.5)
    plain = nn.LSTM(3, 4, batch_first=True)
    plain.load_state_dict(layer.state_dict() | {"weight_hh_l0": dropped.detach()})
    torch.testing.assert_close(whole, plain(text)[0])
    whole.sum().backward()
    assert layer.weight_hh_l0.grad is not None
    assert bool((layer.weight_hh_l0.grad[dropped == 0] == 0).all()) and bool((layer.weight_hh_l0.grad != 0).any())


@pytest.mark.parametrize("rows", [1, 40, 700])
def test_the_loss_in_chunks_is_cross_entropy(rows: int) -> None:
    torch.manual_seed(0)
    parts = [torch.randn(2, rows, 5), torch.randn(31, 5), torch.randn(31)]
    target = torch.randint(0, 31, (2, rows))
    target[0, : rows // 3] = IGNORED
    ours, plain = ([part.clone().requires_grad_() for part in parts] for _ in range(2))
    loss, _ = cross_entropy_in_chunks(*ours, target)
    expected = F.cross_entropy(F.linear(*plain).flatten(0, 1), target.flatten())
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward(), (3 * expected).backward()
    for own, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        _, hits = cross_entropy_in_chunks(*ours, target)
    assert int(hits) == int((F.linear(*parts).argmax(2) == target).sum())


def test_a_target_with_nothing_to_predict_costs_nothing() -> None:
    loss, _ = cross_entropy_in_chunks(
        torch.randn(1, 3, 4), torch.randn(9, 4), torch.zeros(9), torch.full((1, 3), IGNORED)
    )
    assert float(loss) == 0


def test_the_model_s_own_loss_is_that_of_its_logits_and_the_weights_are_tied() -> None:
    model = LanguageModel(encoder()).train()
    text, target, start = tokens(3, 8), tokens(3, 8, 2), torch.ones(3, dtype=torch.bool)
    logits, _ = model(text, start)
    loss, windows = model(text, start, target)
    torch.testing.assert_close(loss, F.cross_entropy(logits.flatten(0, 1), target.flatten()))
    assert windows[0][0].shape == (3, 8, 6)
    names = dict(model.named_parameters())
    assert sum("embedding" in name for name in names) == 1 and len(names) == 2 + 2 * 4


def test_the_sampled_loss_points_the_same_way() -> None:
    """With all words drawn it is the whole loss; with few the words of the batch still fall."""
    model = LanguageModel(encoder(), sampled=100_000, frequencies=torch.full((30,), 1 / 30)).train()
    text, start = tokens(4, 30), torch.ones(4, dtype=torch.bool)
    sampled = model(text, start, text)[0]
    model.sampled = None
    torch.testing.assert_close(sampled, model(text, start, text)[0], atol=1e-4, rtol=1e-4)
    model.sampled = 3
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    first = float(sampled.detach())
    for _ in range(60):
        optimizer.zero_grad()
        model(text, start, text)[0].backward()
        optimizer.step()
    with torch.no_grad():
        assert float(model.eval().loss_and_hits(text, start, text)[0]) < 0.7 * first


def test_the_sampled_loss_has_the_optimum_of_the_whole_softmax() -> None:
    """With logits that do not depend on the text, it is the words' frequencies, in whatever order their ids are."""
    random = torch.Generator().manual_seed(0)
    shares = 1 / torch.arange(3.0, 33.0) ** 1.5
    shares = (shares / shares.sum())[torch.randperm(30, generator=random)]
    model = LanguageModel(encoder(), sampled=3, frequencies=shares).train()
    nn.init.zeros_(model.encoder.embedding.weight)
    text, start = tokens(8, 4), torch.ones(8, dtype=torch.bool)
    optimizer = torch.optim.Adam([model.bias], lr=0.1)
    mean = torch.zeros(30)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 if step < 100 else 0.02
        target = shares.expand(8, -1).multinomial(4, replacement=True, generator=random)  # (batch, time)
        optimizer.zero_grad()
        model(text, start, target)[0].backward(inputs=[model.bias])
        optimizer.step()
        mean += model.bias.detach() / 200 if step >= 200 else 0
    error = mean.log_softmax(0) - shares.log()
    assert float(error.abs().max()) < 0.3  # 1.0 without the correction, 1.7 with the opposite sign


def test_sampling_without_frequencies_is_refused() -> None:
    model = LanguageModel(encoder(), sampled=3).train()
    with pytest.raises(ConfigError, match="sampled needs each word's share of the training tokens"):
        model(tokens(2, 4), torch.ones(2, dtype=torch.bool), tokens(2, 4))


def reference(model: TextClassifier, ids: Tensor) -> Tensor:
    """One text alone, in one piece."""
    activations, _ = model.encoder(ids[None], model.encoder.no_state(1))
    pooled = torch.cat([activations[:, -1], activations.amax(1), activations.mean(1)], 1)
    return model.head(pooled)


def test_penalties_by_value() -> None:
    """Activations after dropout are penalised as they are, those before it by their change; each window counts alike."""
    raw = torch.tensor([[[1.0], [2.0], [4.0]]])  # (batch, time, embedding): changes 1 and 2
    dropped = torch.tensor([[[0.0], [4.0], [8.0]]])  # mean square 80 / 3
    loss = torch.tensor(0.5)
    assert float(ActivationPenalty(3.0, 0.0).penalised([(raw, dropped)], loss)) == 80.5
    assert float(ActivationPenalty(0.0, 2.0).penalised([(raw, dropped)], loss)) == 5.5  # 2 * (1 + 4) / 2
    assert float(ActivationPenalty(3.0, 2.0).penalised([(raw, dropped)], loss)) == 85.5
    short = torch.tensor([[[6.0]]])  # a single token: there is no change
    assert float(ActivationPenalty(3.0, 2.0).penalised([(raw, dropped), (short, short)], loss)) == 97.0
    # 0.5 + (80 + 3 * 36) / 2 + 5 / 2


@pytest.mark.parametrize("lengths", [[1, 1], [50, 3, 21, 20, 22], [7, 40]])
def test_an_answer_depends_neither_on_neighbours_nor_on_padding(lengths: list[int]) -> None:
    model = TextClassifier(encoder(), 3, bptt=7).eval()
    texts = [tokens(1, length, seed)[0] for seed, length in enumerate(lengths)]
    padded = nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=1)
    more = F.pad(padded, (0, 19), value=5)  # whatever stands there
    expected = torch.cat([reference(model, text) for text in texts])
    for batch in (padded, more):
        torch.testing.assert_close(model(batch, torch.tensor(lengths))[0], expected, atol=1e-5, rtol=1e-5)


def test_gradients_go_through_the_last_tokens_alone() -> None:
    model = TextClassifier(encoder(), 2, bptt=5, max_length=10).train()
    model.head.eval()
    text = tokens(2, 43)
    vectors = model.encoder.embedding(text).detach().requires_grad_()
    outputs, windows = model(text, torch.tensor([43, 43]), embedded=vectors)
    outputs.sum().backward()
    moved = vectors.grad.abs().sum((0, 2)) > 0
    assert moved.tolist() == [False] * 30 + [True] * 13  # windows of 5 that hold one of the last 10
    assert sum(kept.shape[1] for kept, _ in windows) == 13
    whole = TextClassifier(model.encoder, 2, bptt=5).eval()
    whole.head.load_state_dict(model.head.state_dict())
    torch.testing.assert_close(model.eval()(text, torch.tensor([43, 43]))[0], whole(text, torch.tensor([43, 43]))[0])


def test_a_short_text_beside_a_long_one_keeps_its_gradient() -> None:
    model = TextClassifier(encoder(), 2, bptt=5, max_length=10).train()
    model.head.eval()
    vectors = model.encoder.embedding(tokens(2, 60)).detach().requires_grad_()
    model(tokens(2, 60), torch.tensor([60, 8]), embedded=vectors)[0].sum().backward()
    assert bool((vectors.grad[1, :8].abs().sum(1) > 0).all()) and not bool(vectors.grad[0, 20:45].any())


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Dropouts(embedding=1.0), "embedding dropout must be 0 or more and below 1; got 1.0"),
    (lambda: AWDLSTM(0), "words must be a whole number of at least 1; got 0"),
    (lambda: AWDLSTM(9, layers=1.5), "layers must be a whole number"),
    (lambda: LanguageModel(encoder(), sampled=0), "sampled must be a whole number"),
    (lambda: TextClassifier(encoder(), 2, bptt=0), "bptt must be a whole number"),
], ids=range(5))  # fmt: skip
def test_sizes_that_make_no_model(make: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()  # type: ignore[operator]


def test_the_softmax_in_bf16_gives_nearly_the_same_loss_and_gradients() -> None:
    """On every processor, whether or not it has an LSTM in bf16."""
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(40, 16), torch.randn(30, 16), torch.randn(30)
    target = torch.randint(30, (40,))
    found = []
    for rough in (False, True):
        leaves = [tensor.clone().requires_grad_() for tensor in (hidden, weight, bias)]
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            loss, _ = cross_entropy_in_chunks(*leaves, target)
        assert loss.dtype == torch.float32
        found.append([loss.detach(), *torch.autograd.grad(loss, leaves)])
    for exact, near in zip(*found, strict=True):
        torch.testing.assert_close(near, exact, rtol=0.05, atol=0.01)


@pytest.mark.skipif(not lstm_runs_in_bf16(), reason="this processor has no LSTM in bf16")
def test_bf16_gives_nearly_the_same_loss() -> None:
    model = LanguageModel(encoder()).train()
    text, start = tokens(3, 8), torch.ones(3, dtype=torch.bool)
    exact = model(text, start, text)[0]
    model.reset()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(text, start, text)[0]
    rough.backward()
    assert rough.dtype == torch.float32 and float(rough.detach()) == pytest.approx(float(exact.detach()), rel=0.02)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_the_sampled_loss_is_the_same_with_repeated_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the words compared are not made distinct: that would have to read their number."""
    random = torch.Generator().manual_seed(3)
    text = torch.randint(0, 30, (4, 9), generator=random)
    target = text.masked_fill(torch.rand(text.shape, generator=random) < 0.2, IGNORED)
    shares = torch.rand(30, generator=random).softmax(0)
    results, compared = [], awd_lstm._compared
    for distinct in (True, False):
        model = LanguageModel(encoder(), sampled=12, frequencies=shares).train()
        chosen: list[int] = []

        def forced(*words: Tensor, distinct: bool, as_on: bool = distinct, note: list[int] = chosen) -> Any:
            result = compared(*words, distinct=as_on)
            note.append(len(result[0]))
            return result

        with monkeypatch.context() as patched, torch.random.fork_rng(devices=[]):
            patched.setattr(awd_lstm, "_compared", forced)
            torch.manual_seed(0)
            loss = model(text, torch.ones(4, dtype=torch.bool), target)[0]
        loss.backward()
        results.append((loss.detach(), *(parameter.grad for parameter in model.parameters())))
        assert chosen[0] == 48 if not distinct else chosen[0] < 31
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-5)


def test_gradients_of_the_chunked_loss_survive_fp16() -> None:
    """They are formed in the forward pass, where no loss scaler reaches them: below 6e-8 they would be 0."""
    random = torch.Generator().manual_seed(4)
    hidden = torch.randn(6, 8, generator=random)
    weight, bias = torch.randn(40, 8, generator=random), torch.zeros(40)
    target = torch.arange(6)
    bias[:6] = 19.0  # nearly certain: the slopes of the others are about 1e-8
    grads = []
    for dtype, scale in ((torch.float32, 1.0), (torch.float16, 65_536.0)):
        leaves = [hidden.clone().requires_grad_(), weight.clone().requires_grad_(), bias.clone().requires_grad_()]
        with torch.autocast("cpu", dtype, enabled=dtype == torch.float16):
            loss, _ = cross_entropy_in_chunks(leaves[0], leaves[1], leaves[2], target)
        (loss * scale).backward()
        grads.append([leaf.grad / scale for leaf in leaves])
    of_others = grads[0][1][6:].abs()
    assert 1e-12 < float(of_others.median()) < 6e-8
    for part in (grads, [[each[1][6:]] for each in grads]):
        for exact, halved in zip(*part, strict=True):
            assert float((halved - exact).norm() / exact.norm()) < 0.05
