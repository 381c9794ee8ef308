"""TransMorph-TVF: Swin encoder, convolutional decoder, and T increments predicted one after another (TM-SPR Sec. 3; WBIR 2022).

    x = decoder(Swin(moving, fixed))                                       half of the network's grid
    s_t = conv(m_{t-1}, f),  x_t = up(x, s_t),  δ_t = conv(x_t),  φ_t = φ_{t-1} ∘ increment,  m_t = m∘φ_t        t = 1 … T

The loop is arranged so that nothing is done T times that can be done once. The first convolution of `up` is linear in the
concatenation (upsampled x, s_t): its part on x is the same for all t but for the parameters, so x is upsampled once and the
T parts are one convolution with T times the output channels (`Encoding.shared`); its part on s_t is added to that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fields.sampling import ZeroPadding, compose, warp, warp_zero_padded
from .backbone import Backbone, Decoding, Encoding, pooled
from .blocks import BlockOrder, ConvBlock, UpBlock, double, full_precision, small_convolution
from .convolution import convolve
from .norms import Conditioning, NormKind
from .streaming import StepLayers, StreamedSteps, streamable
from .swin import SwinEncoder, SwinSettings


class Composition(Enum):
    """How increments become one field. The paper (journal, Sec. 3.3) and this library compose them; two released networks do not.

    COMPOSED: φ_t = φ_{t-1} + δ_t∘φ_{t-1}. SELF_WARPED: φ_t = φ_{t-1} + δ_t∘(id + δ_t), released networks A and B.
    """

    COMPOSED = "composed"
    SELF_WARPED = "self-warped"


class WarpForm(Enum):
    """CONSISTENT: zero displacement is the identity, the border repeated. ZEROS: zeros outside (released network B).
    SHIFTED: zeros outside and the positions of the released networks A and C, see `fields.sampling.warp_zero_padded`."""

    CONSISTENT = "consistent"
    ZEROS = "zeros"
    SHIFTED = "shifted"


@dataclass(frozen=True)
class TransMorphTvfSettings:
    """Sizes and forms of the network; the defaults are the papers' for 160×192×224.

    Args:
        channels: C, width of the first Swin level.
        patch: edge of a patch, 2 or 4 voxels of the network's grid.
        pool: the network's grid is the image's averaged over pool³ voxels (1 or 2).
        depths, heads: blocks and attention heads of the three Swin levels.
        window: tokens per axis, usually from `window_for`.
        time_steps: T.
        time_channels: width of the maps x_t.
        drop_path: stochastic depth of the last Swin block.
        norm: of the blocks that see the images. decoder_norm: of the others.
        order: of norm and activation.
        composition, warp: see there.
        shift_thin_windows: see `SwinSettings`.
    """

    channels: int = 96
    patch: int = 4
    pool: int = 2
    depths: tuple[int, int, int] = (4, 4, 5)
    heads: tuple[int, int, int] = (8, 8, 8)
    window: tuple[int, int, int] = (5, 6, 7)
    time_steps: int = 7
    time_channels: int = 16
    drop_path: float = 0.3
    norm: NormKind = NormKind.INSTANCE
    decoder_norm: NormKind = NormKind.INSTANCE
    order: BlockOrder = BlockOrder.NORM_FIRST
    composition: Composition = Composition.COMPOSED
    warp: WarpForm = WarpForm.CONSISTENT
    shift_thin_windows: bool = True

    def __post_init__(self) -> None:
        if self.patch not in (2, 4) or self.pool not in (1, 2):
            raise ValueError(f"The patch must be 2 or 4 and the pool 1 or 2 voxels, got {self.patch} and {self.pool}.")
        if not len(self.depths) == len(self.heads) == len(self.window) == 3 or min(*self.depths, *self.window) < 1:
            raise ValueError(
                f"depths, heads and window must be three positive numbers each, got {self.depths}, {self.heads}, {self.window}."
            )
        if self.time_steps < 1 or self.time_channels < 1 or self.channels < 2 or self.channels % 2:
            raise ValueError(
                "time_steps and time_channels must be at least 1 and channels even, "
                f"got {self.time_steps}, {self.time_channels} and {self.channels}."
            )
        if any(self.channels * 2**level % heads for level, heads in enumerate(self.heads)):
            raise ValueError(
                f"The heads of each level must divide its channels ({self.channels}, {2 * self.channels}, "
                f"{4 * self.channels}), got {self.heads}; choose a divisor."
            )
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path must lie in [0, 1), got {self.drop_path}.")

    @property
    def multiple(self) -> int:
        """The image's axes must be multiples of this: pooling, patches, two mergings."""
        return 4 * self.pool * self.patch

    def window_for(self, shape: tuple[int, int, int]) -> TransMorphTvfSettings:
        """These settings with windows as large as the coarsest level of images of size `shape` (papers: size / 32)."""
        return replace(self, window=tuple(-(-n // self.multiple) for n in shape))


class TransMorphTvf(Backbone):
    """The network of this file.

    The convolutions of the time loop's first layers are computed together from their parameters: change those to steer
    them; forward hooks on them are not called.

    Args:
        settings: sizes and forms.
        conditioning: conditional layer norm and instance norm.
    """

    def __init__(self, settings: TransMorphTvfSettings, conditioning: Conditioning | None = None) -> None:
        super().__init__()
        self.settings = settings
        c = settings.channels
        everywhere = None if conditioning is None or conditioning.released else conditioning
        self.root = None if conditioning is None else conditioning.root_mapping()
        self.encoder = SwinEncoder(_swin(settings, conditioning))
        widths = [(4 * c, 2 * c, 2 * c), (2 * c, c, c)]
        self.factor, self.multiple = settings.pool, settings.multiple
        self.smallest = tuple(settings.pool * settings.patch * w for w in settings.window)
        self.skip = None
        if settings.patch == 4:
            self.skip = ConvBlock(2, c // 2, kind=settings.norm, order=settings.order, conditioning=conditioning)
            widths.append((c, c // 2, c // 2))
        forms = {"kind": settings.decoder_norm, "order": settings.order, "conditioning": everywhere}
        self.up = nn.ModuleList(UpBlock(*w, **forms) for w in widths)
        self.coarse_channels, self.fine_channels = widths[-1][2], settings.time_channels
        self.steps = nn.ModuleList(_Step(self.coarse_channels, settings, conditioning) for _ in range(settings.time_steps))

    def encode(self, moving: Tensor, fixed: Tensor, code: Tensor | None = None) -> Encoding:
        code = code if self.root is None or code is None else self.root(code)
        moving, fixed = pooled(moving, self.settings.pool), pooled(fixed, self.settings.pool)
        pair = torch.cat([moving, fixed], dim=1)
        return Encoding(moving, fixed, (self._run(self._features, pair, code),))

    def _features(self, pair: Tensor, code: Tensor | None) -> Tensor:
        """The decoder's map at half of the network's grid, (N, coarse_channels, *t/2)."""
        fine, middle, x = self.encoder(pair, code)
        skips = [middle, fine]
        if self.skip is not None:
            skips.append(self.skip(F.avg_pool3d(pair, 3, stride=2, padding=1), code))
        for up, skip in zip(self.up, skips, strict=True):
            x = up(x, skip, code)
        return x

    def share(self, encoding: Encoding, code: Tensor | None = None) -> Encoding:
        """What every step's first convolution makes of the upsampled features: (N, T · time_channels, *t).

        The first step sees the moving image where it lies, so that its whole first convolution is here.
        """
        code = code if self.root is None or code is None else self.root(code)
        return replace(encoding, shared=self._run(self._shared, encoding, code))

    def _shared(self, encoding: Encoding, code: Tensor | None) -> Tensor:
        kernels = torch.cat([step.up.conv1.conv.weight[:, : self.coarse_channels] for step in self.steps])
        shared = convolve(double(encoding.features[0]), kernels)
        pair = torch.cat([encoding.moving, encoding.fixed], dim=1)
        shared[:, : self.settings.time_channels] += self.steps[0].own_part(pair, code)
        return shared

    def decode(self, encoding: Encoding, code: Tensor | None = None, *, with_fine: bool = True) -> Decoding:
        code = code if self.root is None or code is None else self.root(code)
        if streamable([b for step in self.steps for b in (step.pair, step.up.conv1, step.up.conv2)], encoding.moving):
            return self._decode_streamed(encoding, with_fine=with_fine)
        shared = encoding.shared if encoding.shared is not None else self._run(self._shared, encoding, code)
        parts = shared.split(self.settings.time_channels, dim=1)
        phi, total = None, None
        for step, part in zip(self.steps, parts, strict=True):
            if phi is None:
                x, increment = self._run(step.finish, part.clone(), code)  # the part may be kept; `finish` writes over its own
            else:
                moved = self.warp(encoding.moving, phi)
                x, increment = self._run(step, torch.cat([moved, encoding.fixed], dim=1), part, code)
            phi = self._composed(phi, increment)
            if with_fine:
                total = x if total is None else total + x
        return Decoding(phi, total, encoding.features[0])

    def _decode_streamed(self, encoding: Encoding, *, with_fine: bool) -> Decoding:
        """`decode` with the steps of `streaming.py`; where nothing is shared, nothing as large as that is made."""
        shape, width = tuple(encoding.moving.shape[2:]), self.settings.time_channels
        stream = StreamedSteps(shape, width, encoding.moving)
        upsampled = double(encoding.features[0]) if encoding.shared is None else None
        phi, total = None, None
        for t, step in enumerate(self.steps):
            layers = StepLayers(step.pair, step.up.conv1, step.up.conv2, step.out)
            part = None if encoding.shared is None else encoding.shared[:, t * width : (t + 1) * width]
            if phi is None and part is not None:
                increment = stream.increment_of(layers, part)
            else:
                moved = encoding.moving if phi is None else self.warp(encoding.moving, phi)
                increment = stream.increment(layers, torch.cat([moved, encoding.fixed], dim=1), upsampled, part)
            phi = self._composed(phi, increment)
            if with_fine:
                total = stream.add_features(layers, total)
        return Decoding(phi, total, encoding.features[0])

    def warp(self, image: Tensor, u: Tensor) -> Tensor:
        """image∘(id + u) in this network's form."""
        form = self.settings.warp
        if form is WarpForm.CONSISTENT:
            return warp(image, u)
        return warp_zero_padded(image, u, ZeroPadding.SHIFTED if form is WarpForm.SHIFTED else ZeroPadding.CENTERED)

    def _composed(self, phi: Tensor | None, increment: Tensor) -> Tensor:
        if self.settings.composition is Composition.SELF_WARPED:
            moved = self.warp(increment, increment)
            return moved if phi is None else phi + moved
        if phi is not None:
            consistent = self.settings.warp is WarpForm.CONSISTENT
            return compose(phi, increment) if consistent else phi + self.warp(increment, phi)
        shifted = self.settings.warp is WarpForm.SHIFTED  # then zero displacement is not the identity, see `WarpForm`
        return self.warp(increment, torch.zeros_like(increment)) if shifted else increment


class _Step(nn.Module):
    """(m_{t-1}, f) and the shared part → x_t and δ_t, with parameters of its own for each t."""

    def __init__(self, features: int, settings: TransMorphTvfSettings, conditioning: Conditioning | None) -> None:
        super().__init__()
        width = settings.time_channels
        everywhere = None if conditioning is None or conditioning.released else conditioning
        self.features = features
        self.pair = ConvBlock(2, settings.channels // 2, kind=settings.norm, order=settings.order, conditioning=conditioning)
        forms = {"kind": settings.decoder_norm, "order": settings.order, "conditioning": everywhere}
        self.up = UpBlock(features, settings.channels // 2, width, **forms)
        self.out = small_convolution(width)

    def forward(self, pair: Tensor, part: Tensor, code: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.finish(self.own_part(pair, code) + part, code)

    def own_part(self, pair: Tensor, code: Tensor | None) -> Tensor:
        """What the first convolution of `up` makes of s_t."""
        first = self.up.conv1.conv
        return convolve(self.pair(pair, code), first.weight[:, self.features :], first.bias)

    def finish(self, whole: Tensor, code: Tensor | None) -> tuple[Tensor, Tensor]:
        """x_t and δ_t of the first convolution's result, which may be written over."""
        x = self.up.conv2(self.up.conv1.finish(whole, code), code)
        return x, full_precision(convolve(x, self.out.weight, self.out.bias))


def _swin(settings: TransMorphTvfSettings, conditioning: Conditioning | None) -> SwinSettings:
    return SwinSettings(
        channels=settings.channels,
        patch=settings.patch,
        depths=settings.depths,
        heads=settings.heads,
        window=settings.window,
        drop_path=settings.drop_path,
        shift_thin_windows=settings.shift_thin_windows,
        conditioning=conditioning,
    )
