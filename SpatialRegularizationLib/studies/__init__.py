"""Several methods on the same pairs, measured the same way, with figures, tests, tables and pictures."""
