"""Offer the public data sets of the tutorial in the Sample Data module under "Spatial Regularization".

They are Slicer's own test data, fetched by Slicer when the user asks for one, and checked by SHA-256. Nothing is uploaded.
"""

from __future__ import annotations

from pathlib import Path

CATEGORY = "Spatial Regularization"
TESTING_DATA = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
DATA_STORE = "https://github.com/Slicer/SlicerDataStore/releases/download/SHA256/"
THUMBNAIL = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "SpatialRegularizationSample.png"


SAMPLES: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "Brain MR, two dates": ("VolumeFile", (
        ("RegLib_C01_1.nrrd", "MRBrainTumor1", "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95"),
        ("RegLib_C01_2.nrrd", "MRBrainTumor2", "1a64f3f422eb3d1c9b093d1a18da354b13bcf307907c66317e2463ee530b7a97"),
    )),
    "Brain CT and MR": ("VolumeFile", (
        ("CT-brain.nrrd", "CTBrain", "6a5b6caccb76576a863beb095e3bfb910c50ca78f4c9bf043aa42f976cfa53d1"),
        ("MR-brain-T1.nrrd", "MRBrainT1", "2da3f655ed20356ee8cdf32aa0f8f9420385de4b6e407d28e67f9974d7ce1593"),
    )),
    "Beating heart, CT series": ("SequenceFile", (
        ("CT-cardio.seq.nrrd", "CTCardioSeq", "d1a1119969acead6c39c7c3ec69223fa2957edc561bc5bf384a203e2284dbc93"),
    )),
}  # fmt: skip
"""Name → type for Slicer's readers, and its files: name, name of the node, SHA-256.

As they stand in Slicer's own SampleData.py, where each address ends with the sum of its content.
"""
STORES = {"VolumeFile": TESTING_DATA, "SequenceFile": DATA_STORE}


def register_samples() -> None:
    """Offer the data sets; to be called once the application has started."""
    import SampleData

    for name, (file_type, entries) in SAMPLES.items():
        files, nodes, sums = zip(*entries, strict=True)
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            thumbnailFileName=str(THUMBNAIL),
            uris=[STORES[file_type] + checksum for checksum in sums],
            fileNames=list(files),
            nodeNames=list(nodes),
            checksums=[f"SHA256:{checksum}" for checksum in sums],
            loadFileTypes=[file_type] * len(entries),
        )
