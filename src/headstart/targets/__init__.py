"""What is predicted: targets, metrics, weights and errors of rows."""
