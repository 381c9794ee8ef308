"""Training of networks without a screen: one loop (`loop.py`), everything chosen in one value (`settings.py`)."""
