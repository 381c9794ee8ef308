"""Offer the public data sets of the tutorial in the Sample Data module under "Spatial Regularization".

They are Slicer's own test data, fetched by Slicer when the user asks for one, and checked by SHA-256. Nothing is uploaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORY = "Spatial Regularization"
TESTING_DATA = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
DATA_STORE = "https://github.com/Slicer/SlicerDataStore/releases/download/SHA256/"
THUMBNAIL = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "SpatialRegularizationSample.png"


@dataclass(frozen=True)
class SampleFile:
    """One file: its name, the name of its node, its SHA-256; the address ends with the sum."""

    file: str
    node: str
    sha256: str
    store: str = TESTING_DATA

    @property
    def uri(self) -> str:
        """Where it is fetched from."""
        return self.store + self.sha256


@dataclass(frozen=True)
class Sample:
    """A data set of one click.

    Args:
        name: in the Sample Data module.
        files: fetched and loaded together.
        file_type: of Slicer's readers.
    """

    name: str
    files: tuple[SampleFile, ...]
    file_type: str = "VolumeFile"


SAMPLES = (
    Sample(
        "Brain MR, two dates",
        (
            SampleFile("RegLib_C01_1.nrrd", "MRBrainTumor1", "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95"),
            SampleFile("RegLib_C01_2.nrrd", "MRBrainTumor2", "1a64f3f422eb3d1c9b093d1a18da354b13bcf307907c66317e2463ee530b7a97"),
        ),
    ),
    Sample(
        "Brain CT and MR",
        (
            SampleFile("CT-brain.nrrd", "CTBrain", "6a5b6caccb76576a863beb095e3bfb910c50ca78f4c9bf043aa42f976cfa53d1"),
            SampleFile("MR-brain-T1.nrrd", "MRBrainT1", "2da3f655ed20356ee8cdf32aa0f8f9420385de4b6e407d28e67f9974d7ce1593"),
        ),
    ),
    Sample(
        "Beating heart, CT series",
        (
            SampleFile(
                "CT-cardio.seq.nrrd",
                "CTCardioSeq",
                "d1a1119969acead6c39c7c3ec69223fa2957edc561bc5bf384a203e2284dbc93",
                DATA_STORE,
            ),
        ),
        "SequenceFile",
    ),
)
"""As they stand in Slicer's own SampleData.py, where each address ends with the sum of its content."""


def register_samples(register: Callable[..., Any] | None = None) -> None:
    """Offer the data sets; to be called once the application has started.

    Args:
        register: `SampleDataLogic.registerCustomSampleDataSource` of the application when None.
    """
    if register is None:
        import SampleData

        register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    for sample in SAMPLES:
        register(
            category=CATEGORY,
            sampleName=sample.name,
            thumbnailFileName=str(THUMBNAIL),
            uris=[f.uri for f in sample.files],
            fileNames=[f.file for f in sample.files],
            nodeNames=[f.node for f in sample.files],
            checksums=[f"SHA256:{f.sha256}" for f in sample.files],
            loadFileTypes=[sample.file_type] * len(sample.files),
        )
