"""What steps may import beside `step`: models, scores, plots, tables. Nothing of the engine does."""
