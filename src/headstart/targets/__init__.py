"""Targets: what a model predicts, the metrics that compare predictions with it, and the weights of its rows."""
