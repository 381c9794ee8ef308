"""-log p(fixed | warped): how unlike the two images are."""

from .lncc import Lncc
from .mind import MindSsc
from .mse import Mse

SIMILARITIES = (Lncc, Mse, MindSsc)
"""The similarities that users can choose; the first is the default."""
