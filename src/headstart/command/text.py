"""The commands on text: ``train language-model``, ``train text``, ``generate``. Importing this imports no torch."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headstart.command.options import AsJson, Device, Folder, PrecisionName, engine_of, names, split_of
from headstart.command.report import report
from headstart.core.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from headstart.text import LanguageModelData, TextData

__all__ = ["generate", "rows_to_predict", "train_language_model", "train_text"]

Source = Annotated[Path, typer.Argument(help="A CSV or Parquet file, or a folder of .txt files.")]
Out = Annotated[Path, typer.Option(help="Folder for the model; an earlier model there is replaced.")]
Texts = Annotated[str, typer.Option("--text", help="Column of texts; several with commas, joined with field marks.")]
TimeColumn = Annotated[str | None, typer.Option("--time", help="Split by this column: the latest validate.")]
ValidFrom = Annotated[str | None, typer.Option(help="First validating moment, with --time.")]
ValidFraction = Annotated[float | None, typer.Option(help="Share of validating texts.")]
ValidWhere = Annotated[str | None, typer.Option(help="SQL condition: these rows validate.")]
Where = Annotated[str | None, typer.Option(help="SQL condition: only these rows are used.")]
Start = Annotated[Path | None, typer.Option(help="A saved language model's folder to start from.")]
MinFreq = Annotated[int, typer.Option(help="Words that are rarer in the training texts are unknown.")]
MaxVocab = Annotated[int, typer.Option(help="Most words that are known.")]
Backward = Annotated[bool, typer.Option("--backward", help="Read each text from its end.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs; by the amount of text.")]
Seed = Annotated[int, typer.Option(help="Of weights, dropout, order and random split.")]


def train_language_model(
    source: Source,
    out: Out,
    text: Texts = "text",
    time_column: TimeColumn = None,
    valid_from: ValidFrom = None,
    valid_fraction: ValidFraction = None,
    valid_where: ValidWhere = None,
    where: Where = None,
    language_model: Start = None,
    subwords: Annotated[bool, typer.Option("--subwords", help="Parts of words: none is unknown.")] = False,
    min_freq: MinFreq = 3,
    max_vocab: MaxVocab = 60_000,
    backward: Backward = False,
    embedding_size: Annotated[int | None, typer.Option(help="400 on a GPU, 160 on a processor.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Width of the layers: 1152 on a GPU, 320.")] = None,
    layers: Annotated[int | None, typer.Option(help="How many: 3 on a GPU, 2.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Factor on all dropouts; by the amount of text.")] = None,
    epochs: Epochs = None,
    lr: Annotated[float | None, typer.Option(help="Top learning rate; 0.01, from a start 0.005.")] = None,
    batch_size: Annotated[int, typer.Option(help="Streams side by side.")] = 64,
    bptt: Annotated[int, typer.Option(help="Tokens per window, on average.")] = 72,
    seed: Seed = 0,
    device: Device = "auto",
    precision: PrecisionName = "fp32",
    as_json: AsJson = False,
) -> None:
    """Train a language model on texts without labels; print its perplexity on the validation texts."""
    from headstart.core.artefact import check_writable
    from headstart.text import LanguageModelData, LanguageModelLearner

    started = time.perf_counter()
    check_writable(out, "learner")
    options: dict[str, Any] = {
        **_reading(language_model, subwords=subwords, backward=backward), "min_freq": min_freq,
        "max_vocab": max_vocab, "batch_size": batch_size, "bptt": bptt, "seed": seed,
        "engine": engine_of(device, precision),
    }  # fmt: skip
    fraction = 0.1 if valid_fraction is None and valid_from is None and valid_where is None else valid_fraction
    split = split_of(time_column, valid_from, fraction, valid_where, seed)
    if source.is_dir():
        _check_table_only(time_column, valid_from, valid_where, where)
        data = LanguageModelData.from_folder(source, split=None if valid_fraction is None else split, **options)
    else:
        data = LanguageModelData.from_table(source, _columns(text), split=split, where=where, **options)
    _print_notes(data)
    tokens = data.train.rows
    on_processor = data.engine.device.type == "cpu"
    if language_model is None:
        small = (160, 320, 2) if on_processor else (400, 1152, 3)
        embedding_size, hidden, layers = embedding_size or small[0], hidden or small[1], layers or small[2]
    learner = LanguageModelLearner(
        data, embedding_size=embedding_size, hidden=hidden, layers=layers, language_model=language_model,
        dropout=_suggested_dropout(tokens) if dropout is None else dropout,
        sampled=1000 if on_processor and len(data.codec.vocabulary) > 5000 else None, seed=seed,
    )  # fmt: skip
    history = learner.fit_one_cycle(
        (0.01 if language_model is None else 0.005) if lr is None else lr,
        max(1, min(10, round(3_000_000 / tokens))) if epochs is None else epochs,
    )
    _check_finite(history[-1]["train_loss"], lr)
    learner.save(out)
    if learner.engine.is_main:
        seconds = time.perf_counter() - started
        report(learner.history, out, seconds, as_json=as_json, then=f'generate {out} --prompt "..."')


def train_text(
    source: Source,
    out: Out,
    text: Texts = "text",
    label: Annotated[str, typer.Option(help="Column of labels.")] = "label",
    time_column: TimeColumn = None,
    valid_from: ValidFrom = None,
    valid_fraction: ValidFraction = None,
    valid_where: ValidWhere = None,
    where: Where = None,
    language_model: Start = None,
    transformer: Annotated[Path | None, typer.Option(help="A pretrained transformer's folder, instead.")] = None,
    min_freq: MinFreq = 3,
    max_vocab: MaxVocab = 60_000,
    backward: Backward = False,
    balanced: Annotated[bool, typer.Option("--balanced", help="Each class counts the same in training.")] = False,
    dropout: Annotated[float | None, typer.Option(help="Factor on all dropouts.")] = None,
    epochs: Epochs = None,
    lr: Annotated[
        float | None, typer.Option(help="Top learning rate; 0.01, from a start 0.005, of a transformer 0.0002.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts per step.")] = 32,
    seed: Seed = 0,
    device: Device = "auto",
    precision: PrecisionName = "fp32",
    as_json: AsJson = False,
) -> None:
    """Train a classifier of texts, from a language model or from scratch; print the metrics of the validation texts."""
    from headstart.core.artefact import check_writable
    from headstart.text import TextData, TextLearner

    started = time.perf_counter()
    if transformer is not None and language_model is not None:
        raise ConfigError("give one of --language-model and --transformer")
    check_writable(out, "learner")
    weight: Literal["balanced"] | None = "balanced" if balanced else None
    options: dict[str, Any] = {
        "language_model": language_model, "min_freq": min_freq, "max_vocab": max_vocab, "backward": backward,
        "class_weight": weight, "batch_size": batch_size, "seed": seed, "engine": engine_of(device, precision),
    }  # fmt: skip
    if transformer is not None:
        from headstart.text.transformer_learner import read_tokenizer

        options["tokenizer"] = read_tokenizer(transformer)
    split = split_of(time_column, valid_from, valid_fraction, valid_where, seed)
    if source.is_dir():
        _check_table_only(time_column, valid_from, valid_where, where)
        data = TextData.from_folder(source, split=None if valid_fraction is None else split, **options)
    else:
        data = TextData.from_table(source, _columns(text), label, split=split, where=where, **options)
    _print_notes(data)
    if transformer is not None:
        from headstart.text.transformer_learner import TransformerLearner

        learner: TextLearner = TransformerLearner(data, transformer, seed=seed)
        learner.fine_tune(2e-4 if lr is None else lr, 2 if epochs is None else epochs, frozen_epochs=0)
    elif language_model is not None:
        learner = TextLearner(data, dropout=0.6 if dropout is None else dropout, seed=seed)
        learner.fine_tune(0.005 if lr is None else lr, 3 if epochs is None else epochs, frozen_epochs=0)
    else:
        learner = TextLearner(
            data, embedding_size=64, hidden=96, layers=2, dropout=0.6 if dropout is None else dropout, seed=seed
        )
        learner.fit_one_cycle(0.01 if lr is None else lr, 3 if epochs is None else epochs)
    _check_finite(learner.history[-1]["train_loss"], lr)
    learner.save(out)
    if learner.engine.is_main:
        report(learner.history, out, time.perf_counter() - started, as_json=as_json)


def generate(
    folder: Folder,
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    n: Annotated[int, typer.Option("-n", help="How many words, at most.")] = 50,
    temperature: Annotated[
        float, typer.Option(help="Below 1 bolder, 0 always the likeliest word; above 1 wilder.")
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw among this many likeliest words.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the likeliest with this share together.")] = None,
    beams: Annotated[int | None, typer.Option(help="Search for the likeliest text instead, this wide.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draws.")] = None,
    device: Device = "auto",
) -> None:
    """Let a language model go on writing."""
    from headstart import load

    learner = load(folder, device=device)
    if not hasattr(learner, "generate"):
        raise ConfigError(f"{folder} holds no language model: train one with headstart train language-model")
    if beams is not None:
        for found in learner.beam_search(prompt, n, beams=beams):
            typer.echo(f"{found.log_probability:8.2f}  {' '.join(filter(None, (prompt, found.text)))}")
        return
    written = learner.generate(prompt, n, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    typer.echo(" ".join(filter(None, (written, prompt) if learner.codec.backward else (prompt, written))))


def rows_to_predict(learner: Any, source: Path) -> pl.DataFrame:
    """The rows of a table; or, for a classifier of texts, the ``.txt`` files of a folder."""
    from headstart.frames.door import read_table

    if source.is_dir() and learner.application in ("text", "text-ensemble", "transformer"):
        from headstart.text.folders import rows_of

        own = learner.learners[0] if learner.application == "text-ensemble" else learner
        return rows_of(source, own.codec.columns)
    return read_table(source, "input")


def _columns(text: str) -> str | list[str]:
    return names(text) if "," in text else text


def _reading(start: Path | None, *, subwords: bool, backward: bool) -> dict[str, Any]:
    """Tokens and direction: as asked for, or those of the model to start from, which the new one must share."""
    from headstart.text.pretrained import read_codec
    from headstart.text.tokens import WordTokenizer

    if start is None:
        return {"tokenizer": "subwords" if subwords else "words", "backward": backward}
    codec = read_codec(start)
    if subwords and isinstance(codec.tokenizer, WordTokenizer):
        raise ConfigError(f"the language model in {start} reads words: leave out --subwords")
    if backward and not codec.backward:
        raise ConfigError(f"the language model in {start} reads forward: leave out --backward")
    return {"tokenizer": codec.tokenizer, "backward": codec.backward}


def _print_notes(data: LanguageModelData | TextData) -> None:
    for note in data.notes if data.engine.is_main else ():
        typer.echo(note, err=True)


def _suggested_dropout(tokens: int) -> float:
    """Little text is learnt by heart, much is not: our own rule of thumb for a few epochs."""
    return 0.5 if tokens < 1_000_000 else 0.1 if tokens < 30_000_000 else 0.3


def _check_table_only(*options: str | None) -> None:
    if any(option is not None for option in options):
        raise ConfigError("--time, --valid-from, --valid-where and --where are for tables; the input is a folder")


def _check_finite(loss: float, lr: float | None) -> None:
    if not math.isfinite(loss):
        raise ConfigError(f"the training diverged at --lr {lr or 'default'}: lower it; nothing was saved")
