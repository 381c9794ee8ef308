"""What the user chooses: volumes, model, settings, and the request that follows from them."""
