"""What the maximum is worth: overlap, landmarks, regularity, the report, and a phantom with a known truth."""
