"""Define what a similarity is: how unlike two images are, with parameters that declare themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


class Similarity(ABC):
    """-log p(fixed | warped); subclasses are frozen dataclasses whose fields declare themselves (`declaration.number`).

    A similarity that is listed in `similarity.SIMILARITIES` can be chosen on the command line, in settings and the panel.

    Attributes:
        name: as it is chosen.
        summary: for help texts, a few words.
        prefix: before the names of its parameters in settings.
        title: heading of its figure in reports.
        good: one sentence on its values.
        exact: what is reported for equal images; `exact - D` is reported for others.
        describes: True where images are described once, by `features` (N, 1, *s) → (N, C, *s), and the descriptors are compared
            by their mean squared difference.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    title: ClassVar[str]
    good: ClassVar[str]
    prefix: ClassVar[str] = ""
    exact: ClassVar[float] = 1.0
    describes: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, warped: Tensor, fixed: Tensor, mask: Tensor | None = None) -> Tensor:
        """D of two images (N, C, *s), over a mask (N, 1, *s) or everywhere: a scalar, lower is more alike."""
