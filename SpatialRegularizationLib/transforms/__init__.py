"""Where points go: transforms mapped, inverted, resampled, kept free of folds; fields brought to other grids."""
