"""Terms that ask a segmented object to be convex or compact, on its probability map rather than on the truth.

Each term takes maps u (objects, height, width), 0 to 1, and gives one value an object; `convexity_loss` picks the maps
out of logits. Convexity proper: `midpoint`, `closing_gap`, `quasi_concavity`, `ball`. Compactness, which prefers discs
to other convex shapes: `circularity`, `ellipse`. The envelope term of the photograph project, mean ReLU(u -
maxpool(u)), is not here: a maximum over a window that holds the pixel is never below it, so the term is always 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training.losses.gradients import steepness

KERNELS = (3, 7, 15, 21, 41, 51, 61, 71)


def convexity_loss(
    logits: Tensor,
    target: Any,
    *,
    term: str = "midpoint",
    classes: Sequence[int] | None = None,
    shrink: int = 1,
    **constants: Any,
) -> Tensor:
    """Mean of a term over the images and ``classes``; the target plays no part.

    ``term`` is a key of TERMS and ``constants`` its keyword arguments. One channel: the sigmoid's map; several: the
    softmax's maps of ``classes``, by default all but background. ``shrink`` averages blocks of that many pixels first:
    at 1024 x 1024 the terms cost gigabytes, at a quarter of the side a sixteenth. Raises ValueError for an unknown term
    or class.
    """
    if term not in TERMS:
        raise ValueError(f"Found convexity term {term!r}; wanted one of {', '.join(TERMS)}. Choose one of these.")
    maps = functional.avg_pool2d(_maps(logits, classes), shrink)
    return TERMS[term](maps.flatten(0, 1), **constants).mean()


def _maps(logits: Tensor, classes: Sequence[int] | None) -> Tensor:
    count = logits.shape[1]
    if count == 1:
        return torch.sigmoid(logits)
    chosen = list(range(1, count)) if classes is None else list(classes)
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise ValueError(f"Found classes {chosen}; wanted some of 0 to {count - 1}. Name classes that the network has.")
    return torch.softmax(logits, dim=1)[:, chosen]


def midpoint(u: Tensor, *, reach: int = 32, count: int = 64, by_area: bool = False) -> Tensor:
    """Mean ReLU(min(u(x + d), u(x - d)) - u(x)) over pixels and ``count`` random offsets d, up to ``reach`` pixels.

    Zero means that every super-level set holds the midpoints of its pairs. Outside the picture u is 0; rolling round
    would punish convex objects. ``reach`` must be the size of the concavity or gap to be seen. ``by_area`` divides by
    the object's own area instead of the picture's. Offsets come from torch's global generator.
    """
    height, width = u.shape[-2:]
    padded = functional.pad(u, [reach] * 4)
    gap = torch.zeros_like(u)
    for y, x in torch.randint(-reach, reach + 1, (count, 2)).tolist():
        ends = [padded[:, reach + dy :, reach + dx :][:, :height, :width] for dy, dx in ((y, x), (-y, -x))]
        gap = gap + functional.relu(torch.minimum(*ends) - u)
    return _share(gap / count, u, by_area)


def closing_gap(u: Tensor, *, kernels: Sequence[int] = KERNELS, by_area: bool = True) -> Tensor:
    """Sum of closing_k(u) - u over the area sum u, mean over the square ``kernels`` k (odd, pixels).

    A kernel fills only gaps narrower than itself; ``kernels=(21,)``, ``by_area=False`` is the published single term.
    Learning a weight per kernel would choose the smallest, which sees the least, so it is not offered. Raises
    ValueError for an even kernel.
    """
    if not kernels or any(k % 2 == 0 for k in kernels):
        raise ValueError(f"Found kernels {tuple(kernels)}; wanted odd numbers of pixels. Add 1 to even ones.")
    gaps = [_closed(u, k) - u for k in kernels]
    return _share(torch.stack(gaps).mean(dim=0), u, by_area)


def _closed(u: Tensor, k: int) -> Tensor:
    half = k // 2
    # Background all round: without it the border closes together with whatever lies within reach of it.
    padded = functional.pad(u.unsqueeze(1), [half] * 4)
    return -_dilated(-_dilated(padded, k), k)[:, 0, half : half + u.shape[1], half : half + u.shape[2]]


def _dilated(maps: Tensor, k: int) -> Tensor:
    columns = functional.max_pool2d(maps, (k, 1), stride=1, padding=(k // 2, 0))
    return functional.max_pool2d(columns, (1, k), stride=1, padding=(0, k // 2))


def _share(gap: Tensor, u: Tensor, by_area: bool) -> Tensor:
    """Sum over the pixels as a fraction of the object's area, or mean over the picture.

    The area is held constant, so that no object grows to look better, and is at least a pixel.
    """
    if not by_area:
        return gap.mean(dim=(1, 2))
    return gap.sum(dim=(1, 2)) / u.sum(dim=(1, 2)).detach().clamp(min=1)


def circularity(u: Tensor, *, epsilon: float = 1e-6) -> Tensor:
    """log(1 + P / (sqrt(A) + epsilon)), A = sum u, P = sum of the Sobel gradient's length: isoperimetry, no convexity.

    About 3.4 for a disc, its least value, and more for any other shape. An object below one pixel gives 0.
    """
    area = u.sum(dim=(1, 2))
    edge = steepness(u.unsqueeze(1), "constant").sum(dim=(1, 2, 3))
    value = torch.log1p(edge / (area.clamp(min=1).sqrt() + epsilon))
    return torch.where(area >= 1, value, 0 * area)


def ellipse(u: Tensor, *, threshold: float = 2.0) -> Tensor:
    """Sum of u ReLU(d - threshold)^2 over sum u, d the Mahalanobis distance from the object's own mean and covariance.

    The border of a filled ellipse lies at d = 2, since a uniform ellipse has variance a^2 / 4 along its semi-axis a;
    ``threshold=1`` is published and punishes perfect ellipses. An object below one pixel gives 0.
    """
    area = u.sum(dim=(1, 2))
    share = u / area.clamp(min=1)[:, None, None]
    y, x = (torch.arange(side, dtype=u.dtype, device=u.device) for side in u.shape[-2:])
    dy = y[:, None] - (share * y[:, None]).sum(dim=(1, 2))[:, None, None]
    dx = x - (share * x).sum(dim=(1, 2))[:, None, None]
    # A pixel is a unit square, not a point: its own variance of 1/12 keeps thin objects from a singular covariance.
    yy, xx = ((share * d**2).sum(dim=(1, 2), keepdim=True) + 1 / 12 for d in (dy, dx))
    xy = (share * dy * dx).sum(dim=(1, 2), keepdim=True)
    squared = (xx * dy**2 - 2 * xy * dy * dx + yy * dx**2) / (xx * yy - xy**2)
    beyond = squared.clamp(min=threshold**2).sqrt() - threshold
    return torch.where(area >= 1, (share * beyond**2).sum(dim=(1, 2)), 0 * area)


def quasi_concavity(u: Tensor, *, margin: float = 1e-3, flat: float = 1e-5) -> Tensor:
    """Mean of softplus(Q + margin) |grad u|, Q = t' H t the curvature along the level line; backward differences.

    Second-order condition for convex super-level sets, Q <= 0 (Chen and Yan, arXiv 2605.19210). Pixels with a slope up
    to ``flat`` count 0. Meant for smooth maps, for which it grows with concavity; it is not 0 for convex ones.
    """
    uy, ux = _back(u, 1), _back(u, 2)
    squared = ux**2 + uy**2
    steep = squared > flat**2
    safe = torch.where(steep, squared, torch.ones_like(squared))
    along = uy**2 * _back(ux, 2) - 2 * ux * uy * _back(ux, 1) + ux**2 * _back(uy, 1)
    value = functional.softplus(along / safe + margin) * safe.sqrt()
    return torch.where(steep, value, 0 * value).mean(dim=(1, 2))


def _back(u: Tensor, dim: int) -> Tensor:
    """u(x) - u(x - 1) along ``dim``, 0 in the first place."""
    return torch.diff(u, dim=dim, prepend=u.narrow(dim, 0, 1))


def ball(u: Tensor, *, radii: Sequence[int] = (5, 11, 21), by_area: bool = False) -> Tensor:
    """Mean of (1 - u) ReLU(b_r * (2u - 1)) over pixels and ``radii``, b_r the averaging disc of radius r.

    A connected region is convex just when no disc centred outside it is more than half covered (Luo, Tai and Wang
    2020, arXiv 2002.09600). Outside the picture u is 0.
    """
    gaps = [(1 - u) * functional.relu(2 * _averaged(u, radius) - 1) for radius in radii]
    return _share(torch.stack(gaps).mean(dim=0), u, by_area)


def _averaged(u: Tensor, radius: int) -> Tensor:
    steps = torch.arange(-radius, radius + 1, dtype=u.dtype, device=u.device)
    disc = (steps[:, None] ** 2 + steps**2 <= radius**2).to(u.dtype)
    return functional.conv2d(u.unsqueeze(1), (disc / disc.sum())[None, None], padding=radius).squeeze(1)


TERMS: dict[str, Callable[..., Tensor]] = {
    "midpoint": midpoint,
    "closing_gap": closing_gap,
    "circularity": circularity,
    "ellipse": ellipse,
    "quasi_concavity": quasi_concavity,
    "ball": ball,
}
