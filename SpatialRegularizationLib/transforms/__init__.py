"""Where points go: transforms composed, inverted, resampled, kept free of folds and brought to other grids."""
