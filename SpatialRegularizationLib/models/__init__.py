"""One file per system: which unknown, integrator, regularizer and prior it chooses."""
