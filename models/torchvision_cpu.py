"""The two operators that torchvision cannot bring along where its library does not load.

The torchvision wheel of the package index is built for CUDA. Beside a torch built for the CPU its library does not
load, and then even ``import torchvision`` fails, because it describes ``torchvision::nms`` and ``::qnms``, which nobody
defined. `mend` defines both and gives `nms` a CPU implementation; what else torchvision offers in Python then works.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SCHEMES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def mend() -> bool:
    """Make ``import torchvision`` work; call it before the first such import. True where our operators stand in.

    Does nothing where torchvision's own library loads, where torch is a CUDA build (a library that does not load is
    then a fault to be seen, not to be mended) and where torchvision is not installed.
    """
    if torch.version.cuda is not None or hasattr(torch.ops.torchvision, "nms"):
        return _define.cache_info().currsize > 0
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _library_loads(Path(spec.origin).parent):
        return False
    _define()
    _claim_operators()
    return True


def _library_loads(package: Path) -> bool:
    """Whether the package's compiled part can be loaded; where there is none it cannot."""
    for path in sorted(package.glob("_C.*")):
        try:
            torch.ops.load_library(path)
        except OSError:
            return False
        return True
    return False


@cache
def _define() -> torch.library.Library:
    """Define both operators, once in a process; they live as long as the library that the cache holds."""
    library = torch.library.Library("torchvision", "DEF")
    for scheme in SCHEMES:
        library.define(scheme)
    library.impl("nms", nms, "CPU")
    return library


def _claim_operators() -> None:
    # torchvision.ops asks this function before each call, and it was decided when the library did not load.
    import torchvision.extension

    torchvision.extension._has_ops = lambda: True


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression of boxes (n, 4) as left, top, right, bottom: indices kept, best score (n,) first.

    A box goes when its intersection over union with a better one that stays is greater than ``iou_threshold``.
    """
    waiting = scores.argsort(descending=True, stable=True)
    kept: list[int] = []
    while waiting.numel():
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[_iou(dets[best], dets[waiting]) <= iou_threshold]
    return torch.tensor(kept, dtype=torch.int64, device=dets.device)


def _iou(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of one box (4,) with others (n, 4); 0 where both are empty."""
    size = (torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])).clamp(min=0)
    common = size.prod(dim=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(dim=1) - common
    return torch.where(union > 0, common / union, 0.0)
