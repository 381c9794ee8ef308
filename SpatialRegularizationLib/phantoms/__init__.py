"""Synthetic heads of no person, with everything known: for the demo, the tests and trials of a model."""
