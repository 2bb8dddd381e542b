"""``headstart demo text``: a language model learns from film reviews, writes, and becomes a classifier."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.console import Console

from headstart import datasets
from headstart.core.engine import Engine
from headstart.demos.report import print_end, print_kept
from headstart.frames.door import read_table
from headstart.text import LanguageModelData, LanguageModelLearner, TextData, TextLearner

__all__ = ["demo"]

SENTENCES = [
    "A wonderful film, funny and moving from the first minute to the last.",
    "It isn't bad, but two hours of this is a long time.",
    "Dull, predictable and far too long: even the actors look bored.",
]

BENCHMARK = (
    "This language model has read the demo's few sentences alone. The benchmark in docs/text.md starts from a larger "
    "one, trained on 18,000 unlabelled reviews, which the demo does not use: its classifiers reach .811, and "
    "those from scratch .788, the means of five splits; both are networks alone, without a linear path."
)
"""What the demo says of the benchmark's figures, which are not its own."""


def demo(folder: Path, console: Console) -> None:
    """Train a language model on ten thousand sentences out of film reviews, let it write, and make it a classifier.

    Args:
        folder: where models and plot are saved.
        console: where results are shown.
    """
    console.rule("Text: what does a film review say?")
    table = read_table(datasets.get("movie-snippets"))
    engine = Engine("auto")
    data = LanguageModelData.from_table(table, "text", batch_size=32, bptt=40, min_freq=2, engine=engine)
    console.print(f"{len(table):,} sentences out of film reviews; {data.notes[0]}.")
    console.print("First a language model learns English from them: it predicts every next word, no label is needed.")
    language_model = LanguageModelLearner(data, embedding_size=64, hidden=96, sampled=500)
    language_model.fit_one_cycle()
    print_kept(console, language_model)
    language_model.save(folder / "language-model")
    for prompt in ("the film", "a movie that"):
        written = language_model.generate(prompt, 20, temperature=0.7, seed=3)
        console.print(f"  [bold]{prompt}[/bold] {written}", highlight=False)
    likely = ", ".join(f"{word} {share:.0%}" for word, share in language_model.next_words("one of the", 5))
    console.print(f"  after 'one of the' it expects: {likely}", highlight=False)

    console.print("Then its encoder becomes a classifier.")
    labelled = table.filter(pl.col("label").is_not_null())
    texts = TextData.from_table(labelled, "text", "label", language_model=folder / "language-model", engine=engine)
    learner = TextLearner(texts)
    learner.fit_one_cycle()
    print_kept(console, learner)
    kept = learner.figures
    assert texts.valid is not None
    console.print(
        f"Of {texts.valid.rows:,} validation sentences {kept['accuracy']:.1%} are classified correctly"
        f" (AUC {kept['auc']:.3f}). The language model had read most of them, without their labels."
    )
    console.print(BENCHMARK)
    learner.save(folder / "model")
    learner.history.plot().savefig(folder / "loss.png", dpi=110)

    for sentence in SENTENCES:
        explanation = learner.explain(sentence, of="pos")
        prediction = "positive" if explanation.probability >= 0.5 else "negative"
        console.print(f"{prediction} ({explanation.probability:.2f}) ", explanation.text(), end="\n")
    console.print("Green words speak for 'positive', red ones against it.")
    print_end(
        console, folder, {"language-model": "it writes", "model": "the classifier", "loss.png": "loss by epoch"},
        "texts", [
            f'headstart generate {folder / "language-model"} --prompt "this film"',
            "headstart train language-model TEXTS.csv --text COLUMN --out LANGUAGE_MODEL",
            "headstart train text TABLE.csv --text COLUMN --label COLUMN --language-model LANGUAGE_MODEL --out MODEL",
            "headstart predict MODEL NEW.csv --out predictions.csv",
        ],
    )  # fmt: skip
