"""What all tests share: one thread, no display, and hypothesis without a clock or a random seed."""

from __future__ import annotations

import os

import torch
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"
torch.set_num_threads(1)
settings.register_profile("headstart", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("headstart")
