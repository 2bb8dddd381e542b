"""Plant faults one by one in a copy of the source, and tell which of them no test finds.

    python -m scripts.mutants [--only WORD] [--list]

Each mutant is one small edit of one file and the tests that should find it. The copy has the tests as they are. A mutant
*survives* if its tests pass: then a test is missing. It takes about half a minute for each, on one thread.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAWS = ("tests/contract/test_laws.py",)
LEARNERS = ("tests/contract/test_learners.py",)


@dataclass(frozen=True)
class Mutant:
    """One planted fault.

    Attributes:
        name: what is wrong, in words.
        file: the file, below ``src/headstart``.
        before: text that stands there once.
        after: text to put in its place.
        tests: arguments of pytest: where it should be found.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "the loop ignores the schedule's momentum", "training/loop.py",
        "set_rates(optimizer, rate, schedule.momentum(fraction))", "set_rates(optimizer, rate, None)", LAWS,
    ),
    Mutant(
        "the rate is not scaled by the window's length", "training/loop.py",
        " * sum(batch.rate for batch in window) / len(window)", "", LEARNERS,
    ),
    Mutant(
        "all fits see the same order of rows", "training/progress.py",
        "return self.first_epoch + self.epoch", "return self.epoch", LEARNERS,
    ),
    Mutant(
        "an ensemble's members train at a share of the rate", "training/loop.py",
        "len(parts) * batch.rows / step_rows", "batch.rows / step_rows", LEARNERS,
    ),
    Mutant(
        "gradients are not clipped", "core/engine.py",
        "nn.utils.clip_grad_norm_(parameters, clip)", "pass", LEARNERS,
    ),
    Mutant(
        "two-dimensional biases decay", "training/optim.py",
        "parameter.ndim > 1 and id(parameter) not in groups.biases", "parameter.ndim > 1", ("tests/training/test_optim.py",),
    ),
    Mutant(
        "a checkpoint does not compare the training", "training/learner.py",
        "**{name: to_json(value, {}) for name, value in self.values().items()},",
        '**{name: to_json(value, {}) for name, value in self.values().items() if name != "training"},', LAWS,
    ),
    Mutant(
        "a checkpoint does not compare the codec", "training/learner.py",
        "**{name: to_json(value, {}) for name, value in self.values().items()},",
        '**{name: to_json(value, {}) for name, value in self.values().items() if name != "codec"},', LAWS,
    ),
    Mutant(
        "a checkpoint does not compare frozen groups", "training/learner.py",
        '            "frozen": list(frozen_groups(progress.groups)),\n            "steps"', '            "steps"', LAWS,
    ),
    Mutant(
        "a checkpoint does not compare the data", "training/learner.py",
        '            "data": fingerprint_of(data.train),\n', "", LEARNERS,
    ),
    Mutant(
        "a loaded learner forgets what was frozen", "training/saved.py",
        "parameter.requires_grad_(not frozen)", "parameter.requires_grad_(True)", LAWS,
    ),
    Mutant(
        "a loaded learner begins its random streams anew", "training/saved.py",
        'learner.fits = int(record["fits"])', "learner.fits = 0", LAWS,
    ),
    Mutant(
        "a loaded learner trains with the default training", "training/application_learner.py",
        "learner = cls(codec, design=design, training=training, engine=engine)",
        "learner = cls(codec, design=design, engine=engine)", LAWS,
    ),
    Mutant(
        "weights of another codec are taken", "training/saved.py",
        'if name == "training" else', 'if name in ("training", "codec") else', LAWS,
    ),
    Mutant(
        "the worst epoch is kept", "training/callbacks.py",
        'self._sign = 1.0 if better == "lower" else -1.0', 'self._sign = -1.0 if better == "lower" else 1.0', LAWS,
    ),
    Mutant(
        "the best weights are not put back", "training/callbacks.py",
        "progress.model.load_state_dict(self.weights)", "pass", LAWS,
    ),
    Mutant(
        "figures stay after a stop inside an epoch", "training/learner.py",
        "if progress.kept is not None or progress.step == 0:", "if True:", LEARNERS,
    ),
    Mutant("tables: AdamW's eps is fastai's", "tabular/design.py", "AdamW(eps=1e-8)", "AdamW(eps=1e-5)", LAWS),
    Mutant(
        "text: betas are torch's", "text/design.py", "AdamW(betas=(0.7, 0.99))", "AdamW(betas=(0.9, 0.99))", LAWS
    ),
    Mutant(
        "text: momenta are those of other networks", "text/design.py",
        "Range(low=0, below=1)] = (0.8, 0.7, 0.8)", "Range(low=0, below=1)] = (0.95, 0.85, 0.95)", LAWS,
    ),
    Mutant("text: classifiers are clipped at 0.25", "text/design.py", "= 25.0", "= 0.25", LAWS),
    Mutant("text: alpha and beta change places", "text/penalty.py", "self.alpha / len(windows)", "self.beta / len(windows)", ("tests/text",)),
    Mutant("ratings: weight decay is .01", "collab/design.py", "weight_decay=2.0 if self.implicit", "weight_decay=0.01 if self.implicit", LAWS),
    Mutant("ratings: no dropout", "collab/design.py", "dropout=(0.5 if implicit else 0.0)", "dropout=(0.0 if implicit else 0.0)", LAWS),
    Mutant(
        "numbers: the truth is clamped to the range of predictions", "targets/numbers.py",
        "def original(self, encoded: Tensor) -> Tensor:\n", "def original(self, encoded: Tensor) -> Tensor:\n        return self.prediction(encoded)\n\n    def honest(self, encoded: Tensor) -> Tensor:\n",
        ("tests/targets",),
    ),
    Mutant(
        "sampled softmax: no correction", "text/models/awd_lstm.py",
        "self.bias[chosen] - (1 - missed).log()", "self.bias[chosen]", ("tests/text/test_model.py",),
    ),
    Mutant(
        "sampled softmax: the correction has the opposite sign", "text/models/awd_lstm.py",
        "self.bias[chosen] - (1 - missed).log()", "self.bias[chosen] + (1 - missed).log()", ("tests/text/test_model.py",),
    ),
    Mutant(
        "activations: each process looks at what is missing when it comes", "vision/activations.py",
        "missing, first = np.unique(stored[~seen[sharing].all(0)], return_index=True)",
        "missing, first = np.unique(stored[self._store(copy).done[stored] == 0], return_index=True)",
        ("tests/distributed/test_activations.py",),
    ),
    Mutant(
        "activations: all processes are taken to share a folder", "vision/activations.py",
        "sharing = _sharing(self._root, self._engine)", "sharing = list(range(self._engine.world_size))",
        ("tests/distributed/test_activations.py",),
    ),
    Mutant(
        "activations: what is not computed is taken", "vision/store.py", "if not there.all():", "if False:",
        ("tests/vision/test_learner.py",),
    ),
    Mutant(
        "rows are marked before they are on the disk", "vision/marks.py", "        values.flush()", "        pass",
        ("tests/vision/test_learner.py",),
    ),
    Mutant(
        "copies are drawn for each batch", "vision/loaders.py", "if self._chosen[0] != epoch:", "if True:",
        ("tests/vision/test_learner.py",),
    ),
    Mutant(
        "views differ between one image and many", "vision/inference.py",
        "drawn = torch.cat([self._drawn(view) for view in range(1, self.tta)])",
        "drawn = draw(self.tta - 1, self.seed, VIEWS)", ("tests/vision/test_learner.py",),
    ),
    Mutant(
        "quantiles: levels are copied to the device in each step", "targets/quantiles.py",
        "return torch.stack([values.new_full((), level) for level in self.quantiles])",
        "return values.new_tensor(self.quantiles)", ("tests/contract/test_devices.py",),
    ),
    Mutant(
        "rankings: items are drawn on the host", "collab/loaders.py",
        "generator=drawing, device=items.device", "generator=drawing", ("tests/contract/test_devices.py",),
    ),
    Mutant(
        "sampled softmax: words are made distinct on a GPU", "text/models/awd_lstm.py",
        'distinct=target.device.type == "cpu"', "distinct=True", ("tests/contract/test_devices.py",),
    ),
    Mutant(
        "sampled softmax: repeated words count again", "text/models/awd_lstm.py",
        "bias = bias.masked_fill(repeated, -torch.inf)", "pass", ("tests/text/test_model.py",),
    ),
    Mutant(
        "fp16: slopes are not protected", "text/models/softmax.py", "HALF_SCALE = 64.0", "HALF_SCALE = 1.0",
        ("tests/text/test_model.py",),
    ),
)  # fmt: skip


def survives(mutant: Mutant) -> bool:
    """Return whether the tests of a mutant pass although it is planted."""
    with tempfile.TemporaryDirectory(prefix="headstart-mutant-") as name:
        folder = Path(name)
        for part in ("src", "tests", "scripts", "examples", "benchmarks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        path = folder / "src" / "headstart" / mutant.file
        text = path.read_text()
        if text.count(mutant.before) != 1:
            raise SystemExit(f"{mutant.name}: {mutant.file} has its text {text.count(mutant.before)} times, not once")
        path.write_text(text.replace(mutant.before, mutant.after))
        environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{mutant.name}: the tests did not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 0


def main() -> None:
    """Run all mutants, or some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose name has this word")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.name]
    survivors = []
    for mutant in chosen:
        if given.list:
            print(f"{mutant.file:<28} {mutant.name}")
            continue
        alive = survives(mutant)
        survivors += [mutant.name] if alive else []
        print(f"{'SURVIVES' if alive else 'found   '}  {mutant.name}", flush=True)
    if not given.list:
        print(f"{len(chosen) - len(survivors)} of {len(chosen)} found")
    if survivors:
        sys.exit(1)


if __name__ == "__main__":
    main()
