"""Training of networks and the search for their hyperparameters, headless; one loop (`loop.py`), settings in one value."""
