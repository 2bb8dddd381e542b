"""A look at data before training: columns, duplicates, leaks, drift, and labels that are probably wrong."""
