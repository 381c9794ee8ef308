"""Studies: several methods on the same pairs, measured the same way, with their figures, tests, tables and pictures."""
