"""A small writer of DICOM files, independent of the library and of GDCM: values are given as text, sequences as lists."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
CT, PET, MR, ENHANCED_MR = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "128", "4", "4.1"))
CODES = {
    "SOPClass": (0x00080016, "UI"), "SOPInstance": (0x00080018, "UI"), "Modality": (0x00080060, "CS"),
    "Thickness": (0x00180050, "DS"), "Gap": (0x00180088, "DS"), "Study": (0x0020000D, "UI"), "Series": (0x0020000E, "UI"),
    "Number": (0x00200013, "IS"), "Position": (0x00200032, "DS"), "Orientation": (0x00200037, "DS"), "Frame": (0x00200052, "UI"),
    "PlanePosition": (0x00209113, "SQ"), "PlaneOrientation": (0x00209116, "SQ"), "Samples": (0x00280002, "US"),
    "Photometric": (0x00280004, "CS"), "Frames": (0x00280008, "IS"), "Rows": (0x00280010, "US"), "Columns": (0x00280011, "US"),
    "Spacing": (0x00280030, "DS"), "Allocated": (0x00280100, "US"), "Stored": (0x00280101, "US"), "High": (0x00280102, "US"),
    "Signed": (0x00280103, "US"), "Intercept": (0x00281052, "DS"), "Slope": (0x00281053, "DS"), "Measures": (0x00289110, "SQ"),
    "Values": (0x00289145, "SQ"), "Private": (0x00291010, "UN"), "Shared": (0x52009229, "SQ"), "PerFrame": (0x52009230, "SQ"),
    "Pixels": (0x7FE00010, "OW"),
}  # fmt: skip
LONG = ("OB", "OW", "SQ", "UN")


def write_dicom(path: Path, fields: Mapping[str, Any], *, syntax: str = EXPLICIT, undefined: bool = True) -> Path:
    """One file: fields by the names of `CODES`; sequences of unknown length where `undefined`."""
    meta = _element(0x00020002, "UI", fields["SOPClass"], EXPLICIT, undefined)
    meta += _element(0x00020003, "UI", fields["SOPInstance"], EXPLICIT, undefined)
    meta += _element(0x00020010, "UI", syntax, EXPLICIT, undefined)
    size = _element(0x00020000, "UL", len(meta), EXPLICIT, undefined)
    path.write_bytes(bytes(128) + b"DICM" + size + meta + _data_set(fields, syntax, undefined))
    return path


def slice_fields(pixels: np.ndarray, number: int, **changes: Any) -> dict[str, Any]:
    """The fields of one CT slice (rows, columns) of a series with 3 mm between slices; None leaves a field out."""
    bits = 8 * pixels.dtype.itemsize
    fields: dict[str, Any] = {
        "SOPClass": CT, "SOPInstance": f"1.2.3.{number + 1}", "Modality": "CT", "Thickness": "3", "Study": "1.2.3",
        "Series": "1.2.3.4", "Number": str(number + 1), "Position": f"-10\\-20\\{3 * number}",
        "Orientation": "1\\0\\0\\0\\1\\0", "Frame": "1.2.3.5", "Samples": 1,
        "Photometric": "MONOCHROME2", "Rows": pixels.shape[-2], "Columns": pixels.shape[-1], "Spacing": "2\\1.5",
        "Allocated": bits, "Stored": bits, "High": bits - 1, "Signed": int(pixels.dtype.kind == "i"), "Pixels": pixels,
    }  # fmt: skip
    return {name: value for name, value in (fields | changes).items() if value is not None}


def rle(plane: np.ndarray) -> bytes:
    """The items of one frame of at most 128 columns in RLE: high bytes first, each row as it is."""
    parts = []
    for part in reversed(range(plane.dtype.itemsize)):
        rows = plane.view(np.uint8).reshape(len(plane), -1, plane.dtype.itemsize)[:, :, part]
        coded = b"".join(bytes([len(row) - 1]) + row.tobytes() for row in rows)
        parts.append(coded + bytes(len(coded) % 2))
    starts = np.cumsum([64, *map(len, parts[:-1])])
    frame = struct.pack("<16I", len(parts), *starts, *[0] * (15 - len(parts))) + b"".join(parts)
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(frame)) + frame


def _data_set(fields: Mapping[str, Any], syntax: str, undefined: bool) -> bytes:
    ordered = sorted(fields.items(), key=lambda item: CODES[item[0]][0])
    return b"".join(_element(*CODES[name], value, syntax, undefined) for name, value in ordered)


def _element(tag: int, vr: str, value: Any, syntax: str, undefined: bool) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    vr = "OB" if syntax == RLE and vr == "OW" else vr
    content, length = _content(vr, value, syntax, undefined), None
    if (vr == "SQ" and undefined) or (syntax == RLE and tag == CODES["Pixels"][0]):
        content += struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0)
        length = 0xFFFFFFFF
    length = len(content) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", length) + content
    if vr in LONG:
        return head + vr.encode() + bytes(2) + struct.pack(f"{order}I", length) + content
    return head + vr.encode() + struct.pack(f"{order}H", length) + content


def _content(vr: str, value: Any, syntax: str, undefined: bool) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    if vr == "SQ":
        return b"".join(_item(fields, syntax, undefined) for fields in value)
    if vr == "US":
        return struct.pack(f"{order}H", value)
    if vr == "UL":
        return struct.pack(f"{order}I", value)
    if isinstance(value, np.ndarray):
        content = value.astype(value.dtype.newbyteorder(order)).tobytes()
    else:
        content = value if isinstance(value, bytes) else str(value).encode()
    return content + (b"\0" if vr in ("UI", *LONG) else b" ") * (len(content) % 2)


def _item(fields: Mapping[str, Any], syntax: str, undefined: bool) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    content = _data_set(fields, syntax, undefined)
    length = 0xFFFFFFFF if undefined else len(content)
    end = struct.pack(f"{order}HHI", 0xFFFE, 0xE00D, 0) if undefined else b""
    return struct.pack(f"{order}HHI", 0xFFFE, 0xE000, length) + content + end


def write_stack(folder: Path, pixels: np.ndarray, changes: Mapping[int, Mapping[str, Any]] | None = None, **common: Any) -> Path:
    """One file for each slice of (slices, rows, columns), named against their order; `changes` by slice."""
    folder.mkdir(exist_ok=True)
    syntax = common.pop("syntax", EXPLICIT)
    for number, plane in enumerate(pixels):
        fields = slice_fields(plane, number, **common, **(changes or {}).get(number, {}))
        write_dicom(folder / f"f{len(pixels) - number:03d}.dcm", fields, syntax=syntax)
    return folder


def enhanced_fields(pixels: np.ndarray, frames: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """An enhanced MR file of frames with "Position" and what else differs ("Slope", "Orientation")."""
    per_frame = []
    for frame in frames:
        item: dict[str, Any] = {"PlanePosition": [{"Position": frame["Position"]}]}
        if "Orientation" in frame:
            item["PlaneOrientation"] = [{"Orientation": frame["Orientation"]}]
        if "Slope" in frame:
            item["Values"] = [{"Slope": frame["Slope"], "Intercept": "0"}]
        per_frame.append(item)
    shared = [{"PlaneOrientation": [{"Orientation": "1\\0\\0\\0\\1\\0"}], "Measures": [{"Spacing": "2\\1.5", "Thickness": "3"}]}]
    elsewhere = {"Position": None, "Orientation": None, "Spacing": None, "Thickness": None}
    fields = slice_fields(pixels, 0, SOPClass=ENHANCED_MR, Modality="MR", **elsewhere)
    return fields | {"Frames": str(len(frames)), "Shared": shared, "PerFrame": per_frame} | changes
