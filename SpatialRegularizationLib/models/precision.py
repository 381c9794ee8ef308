"""In which precision a network is computed; everything after it (integration, energies, geometry) stays float32."""

from __future__ import annotations

import contextlib
from dataclasses import fields, replace

import torch

from .base import Prediction

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def network_precision(name: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Inside the block, convolutions and matrix products are computed in that precision; parameters stay as they are."""
    return torch.autocast(device.type, dtype=PRECISIONS[name], enabled=name != "float32")


def in_float32(prediction: Prediction) -> Prediction:
    """The same prediction in float32."""
    unknown = prediction.parameters
    floats = {f.name: getattr(unknown, f.name).float() for f in fields(unknown)}
    lambda_map = prediction.lambda_map
    return Prediction(replace(unknown, **floats), None if lambda_map is None else lambda_map.float())
