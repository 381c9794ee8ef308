"""Patient space: millimetres, LPS. The only place where a voxel has a position."""

from .displacement import DisplacementField as DisplacementField
from .grid import Grid as Grid
from .volume import Volume as Volume
