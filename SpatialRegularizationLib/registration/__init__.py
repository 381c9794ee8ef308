"""Two Volumes in, one Registration out: the maximum of the posterior for one pair."""
