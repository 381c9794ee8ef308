"""One image before it meets another: is it usable, which voxels count, intensities, the grid to work on."""
