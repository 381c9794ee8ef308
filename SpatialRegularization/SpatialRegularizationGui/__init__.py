"""The Slicer module's own code: the only code that may import slicer, qt and ctk.

    scene/ ◀─ inputs/ ◀─ run/ ◀─ review/ ◀─ logic.py ◀─ widget.py          an arrow says who may import whom
    nodes     choices    worker  views      register    the panel          parameters.py: what the scene remembers

RAS exists in scene/ only. Nothing here imports torch.
"""

in_use = False
"""True once the module file has been executed with this package."""
