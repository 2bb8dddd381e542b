"""What a fit shows: a bar and a table on a terminal, lines in a file, HTML in a notebook."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest

import toys
from headstart import ConfigError, Engine
from headstart.training.display import Display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_one_plain_line_per_epoch() -> None:
    stream = io.StringIO()
    toys.plain_learner(Engine("cpu")).fit(0.01, 2, callbacks=[Display("auto", stream)])
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "train_loss" in lines[0] and "rmse" in lines[0] and "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_bar_and_ends_with_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.training.display.SECONDS_BETWEEN_READS", 0.0)
    stream = Terminal()
    toys.plain_learner(Engine("cpu")).fit(0.01, 3, callbacks=[Display("auto", stream)])
    shown = stream.getvalue()
    assert "loss" in shown and "━" in shown
    last = shown[shown.rfind("train_loss") :]
    assert "valid_loss" in last and "━" not in last.partition("\n")[2].replace("─", "").partition("\n")[2]
    assert "\x1b[?25h" in shown  # the cursor is back


def test_a_notebook_gets_a_table_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown.append(html)

    class ZMQInteractiveShell:
        pass

    display = types.ModuleType("IPython.display")
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda html, display_id: Handle()  # type: ignore[attr-defined]
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("headstart.training.display.SECONDS_BETWEEN_READS", 0.0)
    learner = toys.plain_learner(Engine("cpu"))
    learner.progress = "auto"
    learner.fit(0.01, 2)
    assert any("<progress" in html for html in shown)
    assert shown[-1].count("<tr>") == 3 and "<progress" not in shown[-1]


def test_the_loss_is_read_a_few_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[float] = []
    monkeypatch.setattr("headstart.training.display._Bar.step", lambda self, progress, loss: reads.append(loss))
    learner = toys.plain_learner(Engine("cpu"))
    learner.fit(0.01, 5, callbacks=[Display("bar", Terminal())])
    assert len(reads) <= 1 + sum(row["seconds"] for row in learner.history) / 0.25


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="progress must be 'auto', 'bar', 'lines' or 'none'; got 'loud'"):
        Display("loud")  # type: ignore[arg-type]
