"""The lesson's collaborative filtering is headstart's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import optim

from headstart import CollabLearner, RatingsData, splits
from headstart.classic import CollabFilterDataset, get_cv_idxs


def test_the_lesson_s_lines_give_headstart_s_own_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    pairs = pd.DataFrame([(u, m) for u in range(30) for m in random.choice(20, 8, replace=False)])
    pairs.columns = ["userId", "movieId"]
    pairs["rating"] = (pairs["userId"] % 5 + pairs["movieId"] % 3 + 1) / 2
    pairs.to_csv(tmp_path / "ratings.csv", index=False)
    val_idxs = get_cv_idxs(len(pairs))
    cf = CollabFilterDataset.from_csv(tmp_path, "ratings.csv", "userId", "movieId", "rating")
    learn = cf.get_learner(10, val_idxs, 16, opt_fn=optim.Adam)
    learn.fit(1e-2, 2, wds=2e-4, cycle_len=1, cycle_mult=2)

    data = RatingsData.from_table(
        pairs, "userId", "movieId", "rating", split=splits.by_indices(val_idxs), batch_size=16
    )
    own = CollabLearner(data, factors=10, implicit=False, weight_decay=2e-4, optimizer=optim.Adam, progress="none")
    own.fit(1e-2, 2, cycle_len=1, cycle_mult=2)
    assert np.array_equal(learn.predict(), own.predict_with_targets()[0].numpy())
    rows = [[float(word) for word in line.strip("[]").split()] for line in capsys.readouterr().out.splitlines()]
    found, true = learn.predict_with_targs()
    assert [len(row) for row in rows] == [3, 3, 3]
    assert rows[-1][2] == pytest.approx(((found - true) ** 2).mean(), abs=1e-4)

    frame = CollabFilterDataset.from_data_frame(tmp_path, pairs, "userId", "movieId", "rating")
    assert frame.get_learner(10, val_idxs, 16).predict().shape == (len(val_idxs),)
