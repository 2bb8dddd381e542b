"""The demonstrations behind `headstart demo`."""
