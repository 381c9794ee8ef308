"""The Slicer module's own code: panel, scene, worker. The only code that may import slicer, qt and ctk.

    widget.py ─▶ logic.py ─▶ worker.py ─▶ a process that computes
        │            └─────▶ scene.py      nodes ⇄ Volume, DisplacementField; the only file where RAS exists
        └─ parameters.py     what the scene remembers

What they tell one another is in request.py, and signals.py carries it. Nothing here imports torch.
"""

in_use = False
"""True once the module file has been executed with this package."""
