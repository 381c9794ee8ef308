"""Images (and perhaps a condition) → raw tensors. What the tensors mean is decided in `models/`."""
