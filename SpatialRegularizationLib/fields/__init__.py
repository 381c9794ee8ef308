"""Pure tensor functions on lattices, voxel units: what every factor of the posterior is computed with."""
