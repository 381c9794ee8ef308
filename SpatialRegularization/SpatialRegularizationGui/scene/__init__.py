"""MRML nodes: read them, fill them, move them, and undo it. The only room where Slicer's RAS axes exist."""
