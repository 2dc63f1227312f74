"""Parts that several architectures share."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from timm.models.resnet import ResNet
    from torchvision.models import WeightsEnum
    from transformers import PreTrainedConfig, PreTrainedModel

Pretrained = TypeVar("Pretrained", bound="PreTrainedModel")
# A relative path to a file of weights is not meant.
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(?<!\.pt)(?<!\.pth)(?<!\.bin)(?<!\.safetensors)")
CLASSIFIER_HEADS = ("fc.", "head.", "classifier.", "last_linear.")


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm, ReLU; (batch, in, h, w) to (batch, out, ceil(h / stride), ceil(w / stride))."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, act: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if act else []))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, arXiv:1512.03385, basic block)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(in_channels, out_channels, stride=stride),
            ConvNormAct(out_channels, out_channels, act=False),
        )
        same = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity() if same else ConvNormAct(in_channels, out_channels, kernel=1, stride=stride, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class GlobalContext(nn.Module):
    """Adds to every position what the whole feature map says on average (squeeze, two linear maps, add)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(x.mean(dim=(2, 3), keepdim=True))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file of torch (plain, or under ``state_dict`` or ``model``) or in a ``.safetensors`` file.

    Raises FileNotFoundError where there is no file, ValueError where it holds anything but named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Found no file {path}; wanted a state dict. Give the path of a file of weights.")
    content = _unpacked(path)
    if not content or not all(isinstance(one, Tensor) for one in content.values()):
        raise ValueError(f"Found no named tensors in {path}; wanted a state dict. Save `network.state_dict()` there.")
    return dict(content)


def _unpacked(path: Path) -> Mapping[str, Tensor]:
    """What the file holds, out of its envelope; an empty mapping where that is no mapping."""
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    # torch's text is left to the traceback: it advises to switch the safe loader off.
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"Found no readable weights in {path}; wanted a state dict. Save `network.state_dict()` there."
        ) from error
    for envelope in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(envelope), Mapping):
            content = content[envelope]
    return content if isinstance(content, Mapping) else {}


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Weights of a convolution on RGB, (out, 3, kh, kw), for ``channels`` inputs: (out, channels, kh, kw).

    One channel gets the sum, so that grey as RGB gives what it gave; more go through R, G, B in turn, scaled by
    3 / channels.
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [index % 3 for index in range(channels)]] * (3 / channels)


def load_encoder(encoder: nn.Module, path: str | Path, *, ignore: Sequence[str] = CLASSIFIER_HEADS) -> None:
    """Load a file of weights into an encoder, name for name; RGB weights are adapted to its input channels.

    Args:
        encoder: whose own state-dict names are those of the file.
        path: of the file, see `read_weights`.
        ignore: beginnings of names in the file that an encoder may lack, such as those of a classifier.

    Raises ValueError where names or shapes are those of another architecture.
    """
    fit_weights(encoder, read_weights(path), str(path), ignore=ignore)


def fit_weights(
    encoder: nn.Module, weights: Mapping[str, Tensor], origin: str, *, ignore: Sequence[str] = CLASSIFIER_HEADS
) -> None:
    """`load_encoder` for weights that are read already; ``origin`` names them in errors."""
    wanted = encoder.state_dict()
    found = {name: one for name, one in weights.items() if name in wanted or not name.startswith(tuple(ignore))}
    # Files older than torch 0.4.1 do not count batches; what they count changes no output.
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    fitted = {name: _fitted(one, wanted[name]) if name in wanted else one for name, one in found.items()}
    unlike = [name for name in fitted if name not in wanted or fitted[name].shape != wanted[name].shape]
    if missing or unlike:
        raise ValueError(
            f"Found weights of another architecture in {origin}: {len(missing)} names missing, {len(unlike)} unknown "
            f"or of another shape, such as {next(chain(missing, unlike))}; wanted those of {type(encoder).__name__}. "
            "Give the file that belongs to this encoder."
        )
    encoder.load_state_dict(fitted, strict=False)


def _fitted(weight: Tensor, wanted: Tensor) -> Tensor:
    """A first convolution on RGB as the encoder wants it; all else unchanged."""
    outer, inner = weight.shape, wanted.shape
    rgb = len(outer) == len(inner) == 4 and outer[1] == 3 and (outer[0], *outer[2:]) == (inner[0], *inner[2:])
    return adapt_channels(weight, inner[1]) if rgb else weight


def load_start(
    network: nn.Module,
    weights: str | None,
    library: WeightsEnum,
    *,
    ignore: Sequence[str] = CLASSIFIER_HEADS,
) -> None:
    """Load what a network starts from, see `load_encoder`.

    Args:
        network: whose state-dict names are those of torchvision's network.
        weights: None leaves it random, "library" means torchvision's own file, all else is the path of a file.
        library: torchvision's weights.
        ignore: beginnings of names that the network may lack.
    """
    if weights is not None:
        load_encoder(network, library_file(library) if weights == "library" else weights, ignore=ignore)


def library_file(library: WeightsEnum) -> Path:
    """Where torch's hub folder keeps torchvision's weights; fetched first where they are not there.

    Raises ConnectionError where they can neither be found nor fetched.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", library.url.rpartition("/")[2])
    if not path.is_file():
        try:
            library.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except OSError as error:
            raise ConnectionError(
                f"Found neither {path} nor a way to fetch {library.url}; wanted torchvision's weights. Fetch that file "
                "on a machine with a network and give its path."
            ) from error
    return path


def resnet_encoder(
    layers: int, *, in_channels: int, weights: str | None, depths: Sequence[int], widths: Sequence[int]
) -> ResNet:
    """ResNet-34 or ResNet-50 (He et al. 2016, arXiv:1512.03385) without its classifier, named as torchvision's.

    It is timm's, since torchvision's has its widths written in. Features: (batch, 64, h / 2, w / 2), then per stage at
    1/4, 1/8, 1/16 and 1/32 ``widths`` channels, 4 times as many with 50 layers.

    Args:
        layers: 34 (basic blocks) or 50 (bottlenecks).
        in_channels: of the input.
        weights: see `load_start`.
        depths: blocks of each stage; published (3, 4, 6, 3).
        widths: of each stage; published (64, 128, 256, 512).
    """
    # Here and not above, so that networks without this encoder do not wait for the libraries.
    from timm.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.models import ResNet34_Weights, ResNet50_Weights

    block, library = {
        34: (BasicBlock, ResNet34_Weights.IMAGENET1K_V1),
        50: (Bottleneck, ResNet50_Weights.IMAGENET1K_V1),
    }[layers]
    encoder = ResNet(
        block,
        tuple(depths),
        num_classes=0,
        in_chans=in_channels,
        global_pool="",
        channels=tuple(widths),
        zero_init_last=False,
    )
    load_start(encoder, weights, library)
    return encoder


def smp_network(kind: Callable[..., nn.Module], encoder: str, weights: str | None, **sizes: Any) -> nn.Module:
    """A network of segmentation-models-pytorch, built by ``kind`` with ``sizes`` around one of its encoders.

    ``weights`` of the encoder: None random, ``library`` the library's ImageNet weights (needs a network), else the path
    of a state dict with torchvision's names, see `load_encoder`; RGB weights are adapted to the input's channels.
    """
    network = kind(encoder, encoder_weights="imagenet" if weights == "library" else None, **sizes)
    if weights not in (None, "library"):
        load_encoder(network.encoder, weights)
    return network


def check_sides(x: Tensor, multiple: int) -> None:
    """Raise ValueError where height or width of (batch, channels, h, w) is no multiple of ``multiple``."""
    height, width = x.shape[-2:]
    if height % multiple or width % multiple:
        raise ValueError(
            f"Found an input of {height} x {width} pixels; wanted both sides to be multiples of {multiple}. "
            "Resize or pad it."
        )


def conv_with_bias(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU at the same size.

    The bias is idle in front of a norm, its gradient rounding noise; networks published with it are counted with it.
    """
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two of `conv_with_bias`, the step of a plain U-Net at one resolution."""
    return nn.Sequential(conv_with_bias(in_channels, out_channels), conv_with_bias(out_channels, out_channels))


def transformers_model(
    kind: type[Pretrained],
    config: PreTrainedConfig,
    weights: str | None,
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict,
) -> Pretrained:
    """A network of the transformers library, in training mode and float32.

    Args:
        kind: class of the network.
        config: its sizes, also of what a folder or hub entry must hold.
        weights: None leaves it random; else a local folder as `save_pretrained` writes it, a file with a state dict, or
            the name of an entry of the hub (owner/name), which needs a network.
        rename: a state dict's names to the library's own.

    Raises FileNotFoundError for a path that is not there, OSError where the hub cannot be reached, and ValueError for
    weights of another architecture, which the library would leave random.
    """
    if weights is None:
        return kind(config)
    start: dict[str, Any] = {"pretrained_model_name_or_path": weights}
    if Path(weights).is_file():
        start = {"pretrained_model_name_or_path": None, "state_dict": dict(rename(read_weights(weights)))}
    elif not Path(weights).is_dir() and not HUB_NAME.fullmatch(weights):
        raise FileNotFoundError(
            f"Found nothing at {weights}; wanted a folder, a file with a state dict or a hub name owner/name. "
            "Give a path that exists."
        )
    network, report = kind.from_pretrained(
        **start, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
    )
    faults = sorted([*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])])
    if faults:
        raise ValueError(
            f"Found weights of another architecture in {weights}: {len(faults)} parameters missing or of another "
            f"shape, such as {faults[0]}; wanted those of {kind.__name__}. Give the weights that belong to it."
        )
    return network.train()
