"""Declare the settings of synthesized images; amounts are the largest ones, each image draws its own below them."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import check_fields, choice, entry, integer, number
from .anatomy import Anatomy


@dataclass(frozen=True)
class SynthesisSettings:
    """How images are made, new for every step. The fields carry their help, unit, range and choices in `metadata`.

    Raises:
        ValueError: a field outside its range or choices; one sentence.
    """

    source: str = choice(
        "labels", ("labels", "shapes"), "where the anatomy comes from: the label maps of the lists, or random shapes"
    )
    anatomy: Anatomy | None = entry(
        None,
        "file (.yaml, .json) that says which labels look alike, stay when the skull is stripped, and count; default: every label "
        "is a tissue of its own",
        check=lambda name, given: Anatomy.of(given),
    )
    compared: str = choice(
        "twins",
        ("twins", "seen"),
        "images of the similarity in training: twins of one contrast without artifacts, or the images that the network sees",
    )
    equal_contrast: float = number(0.3, 0.0, 1.0, "", "share of pairs whose images have one contrast (one modality)")
    stripped: float = number(0.5, 0.0, 1.0, "", "share of pairs without skull, where the anatomy says what stays")
    part_contrast: float = number(0.15, 0.0, 1.0, "", "deviation of the parts of a tissue from its intensity (which is 0.1 to 1)")
    texture: float = number(0.06, 0.0, 1.0, "", "standard deviation of the texture within a label")
    bias: float = number(0.4, 0.0, 2.0, "", "logarithm of the bias field")
    noise: float = number(0.08, 0.0, 1.0, "", "standard deviation of the noise")
    blur_voxels: float = number(1.0, 0.0, 5.0, "voxels", "standard deviation of the blur")
    coarse: float = number(0.4, 0.0, 1.0, "", "share of images of lower resolution along one axis or all")
    coarse_factor: float = number(3.0, 1.0, 10.0, "", "how much lower")
    gamma: float = number(0.3, 0.0, 2.0, "", "logarithm of the exponent of the intensities")

    warp_voxels: float = number(3.0, 0.0, 20.0, "voxels", "standard deviation of the random velocities of each image")
    warp_scale: int = integer(8, 2, 64, "voxels", "smallest distance of the control points of those velocities")
    rotation_degrees: float = number(10.0, 0.0, 90.0, "degrees", "rotation of both images about each axis")
    scaling: float = number(0.12, 0.0, 0.7, "", "logarithm of the scaling of both images along each axis")
    shift_voxels: float = number(4.0, 0.0, 100.0, "voxels", "shift of both images along each axis")
    own_affine: float = number(0.2, 0.0, 1.0, "", "share of rotation, scaling and shift that each image draws again on its own")

    shapes: int = integer(12, 2, 100, "labels", "random shapes of an image")
    shape_scale: int = integer(8, 2, 64, "voxels", "smallest scale of the random shapes; the largest is four times that")

    def __post_init__(self) -> None:
        check_fields(self, "synthesis.")
        if self.source == "shapes" and self.anatomy is not None:
            raise ValueError("synthesis.anatomy describes label maps, got source shapes; leave it out or set source: labels.")
