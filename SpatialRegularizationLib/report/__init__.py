"""The result folder and its pages, pictures and drawings."""
