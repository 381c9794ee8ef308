"""Trained models: where they are kept, what is known of them, and how files of others become ours."""
