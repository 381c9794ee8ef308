"""Patient space: millimetres, LPS. The only place where a voxel has a position."""

from .displacement import DisplacementField as DisplacementField
from .grid import Grid as Grid
from .transform import SpatialTransform as SpatialTransform
from .volume import Volume as Volume
