"""``headstart demo text``: a language model learns from film reviews, writes, and becomes a classifier."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.console import Console

from headstart import datasets
from headstart.core.engine import Engine
from headstart.frames.door import read_table
from headstart.text import LanguageModelData, LanguageModelLearner, TextData, TextLearner

__all__ = ["text_demo"]

OWN = [
    "A wonderful film, funny and moving from the first minute to the last.",
    "It isn't bad, but two hours of this is a long time.",
    "Dull, predictable and far too long: even the actors look bored.",
]


def text_demo(folder: Path, console: Console) -> None:
    """Ten thousand sentences out of film reviews: read them all without labels, write, then learn to judge."""
    console.rule("Text: what does a film review say?")
    table = read_table(datasets.get("movie-snippets"))
    engine = Engine("auto")
    data = LanguageModelData.from_table(table, "text", batch_size=32, bptt=40, min_freq=2, engine=engine)
    console.print(f"{len(table):,} sentences out of film reviews. {data.notes[0]}.")
    console.print("First a language model learns English from them: it guesses every next word, no label is needed.")
    language_model = LanguageModelLearner(data, embedding_size=64, hidden=96, layers=2, dropout=0.4, sampled=500)
    language_model.fit_one_cycle(1e-2, 3)
    language_model.save(folder / "language-model")
    for prompt in ("the film", "a movie that"):
        written = language_model.generate(prompt, 20, temperature=0.7, seed=3)
        console.print(f"  [bold]{prompt}[/bold] {written}", highlight=False)
    guessed = ", ".join(f"{word} {share:.0%}" for word, share in language_model.next_words("one of the", 5))
    console.print(f"  after 'one of the' it expects: {guessed}", highlight=False)

    console.print("Then its encoder becomes a classifier.")
    labelled = table.filter(pl.col("label").is_not_null())
    texts = TextData.from_table(labelled, "text", "label", language_model=folder / "language-model", engine=engine)
    learner = TextLearner(texts, dropout=0.6)
    learner.fine_tune(1e-2, 3, frozen_epochs=0)
    last = learner.history[-1]
    console.print(
        f"Of the sentences held out, a fifth, {last['accuracy']:.1%} are judged rightly (AUC {last['auc']:.3f}).\n"
        "A language model that has read 18,000 unlabelled reviews is a greater head start than these few sentences:\n"
        ".811, where from scratch one gets .788, the mean of five splits (docs/text.md)."
    )
    learner.save(folder / "model")
    learner.history.plot().savefig(folder / "loss.png", dpi=110)

    for sentence in OWN:
        found = learner.interpret(sentence, of="pos")
        answer = "positive" if found.probability >= 0.5 else "negative"
        console.print(f"{answer} ({found.probability:.2f}) ", found.text(), end="\n")
    console.print("Green words speak for 'positive', red ones against it.")
    console.print("Saved:")
    for name, what in {"language-model": "it writes", "model": "the classifier", "loss.png": "loss by epoch"}.items():
        console.print(f"  {folder / name}  ({what})", highlight=False, soft_wrap=True)
    console.print("Next, with texts of your own:")
    for command in (
        f'headstart generate {folder / "language-model"} --prompt "this film"',
        "headstart train language-model TEXTS.csv --text COLUMN --out LANGUAGE_MODEL",
        "headstart train text TABLE.csv --text COLUMN --label COLUMN --language-model LANGUAGE_MODEL --out MODEL",
        "headstart predict MODEL NEW.csv --out predictions.csv",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
