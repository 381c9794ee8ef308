"""Two Volumes in, one Registration out: prepare, start, solve, conclude."""
