"""-log p(fixed | warped): how unlike the two images are."""

from .correlation import Correlation
from .lncc import Lncc
from .mind import MindSsc
from .mse import Mse

SIMILARITIES = (Lncc, Mse, MindSsc, Correlation)
"""The similarities that users can choose; the first is the default."""
