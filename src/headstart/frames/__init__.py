"""Any table in: rows, splits, categories, and from rows to tensors."""
