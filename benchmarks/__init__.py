"""Speed and memory against fastai v2 and a bare tensor loop, by one command: ``python -m benchmarks.run``."""
