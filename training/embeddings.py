"""Embeddings of a frozen encoder, kept on disk, so that a decoder alone trains in minutes.

SAM's encoder does nearly all of SAM's work and sees no prompt: where it does not train, each picture needs it once and
not once an epoch. An embedding of ViT-B at 1024 x 1024 is 2 MB in half precision.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.manifest import InputSpec
from service.preprocess import prepare
from training.datasets.case import Picture

Half = NDArray[np.float16]
SUFFIX = ".embedding"
DIGEST_BYTES = hashlib.sha256().digest_size
LIMIT = 16 * 2**30
log = logging.getLogger("breast_cascade.training")


@dataclass(frozen=True, eq=False)
class EmbeddingStore:
    """A folder of embeddings by picture, weights and input block; several processes may share it.

    Attributes:
        folder: made when it is needed; nothing in it is touched but files of this kind.
        encoder: (batch, channels, h, w) to one embedding each, frozen, its weights loaded already.
        spec: the input block that turns a picture into the encoder's input.
        limit: bytes; beyond it the embeddings unused for longest are removed.

    Raises ValueError for an encoder that trains: its embeddings would be out of date after a step.
    """

    folder: Path
    encoder: nn.Module
    spec: InputSpec
    limit: int = LIMIT

    def __post_init__(self) -> None:
        training = [name for name, one in self.encoder.named_parameters() if one.requires_grad]
        if training:
            raise ValueError(
                f"Found an encoder that trains ({training[0]} and {len(training) - 1} more); wanted a frozen one. "
                "Train the decoder alone, or leave the cache out."
            )

    def of(self, picture: Picture) -> Tensor:
        """The embedding of a picture (height, width, channels), float32 (width, g, g); made where it is not kept.

        Raises ValueError for an embedding beyond half precision and OSError where it cannot be written.
        """
        path = self.folder / f"{self._key(picture)}{SUFFIX}"
        kept = read_embedding(path)
        if kept is None:
            kept = self._made(picture)
            self._keep(path, kept)
        return torch.from_numpy(kept.astype(np.float32))

    def fill(
        self, pictures: Sequence[Picture], progress: Callable[[Sequence[Picture]], Iterable[Picture]] = iter
    ) -> None:
        """Make every embedding that is missing; afterwards loader processes read and never run the encoder."""
        for picture in progress(pictures):
            self.of(picture)

    def _key(self, picture: Picture) -> str:
        said = f"{self._weights} {self.spec.model_dump_json()} {picture.shape} {picture.dtype.str}"
        return hashlib.sha256(said.encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()

    @cached_property
    def _weights(self) -> str:
        return weights_digest(self.encoder)

    @torch.inference_mode()
    def _made(self, picture: Picture) -> Half:
        tensor = torch.from_numpy(prepare(picture, self.spec)[0])[None]
        device = next((one.device for one in self.encoder.parameters()), tensor.device)
        was_training = self.encoder.training
        embedding = self.encoder.eval()(tensor.to(device))[0].float().cpu().numpy()
        self.encoder.train(was_training)
        return _halved(embedding)

    def _keep(self, path: Path, embedding: Half) -> None:
        content = _packed(embedding)
        if len(content) > self.limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_whole(path, content)
        except OSError as error:
            raise OSError(
                f"Found no way to write {path} ({error.strerror}); wanted {len(content)} bytes of room. "
                "Free some space or choose another folder for embeddings."
            ) from error
        self._forget()

    def _forget(self) -> None:
        """Remove the longest unused beyond the limit."""
        kept = sorted(_sizes(self.folder.glob(f"*{SUFFIX}")))
        excess = sum(size for _, size, _ in kept) - self.limit
        for _, size, path in kept:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


def _halved(embedding: NDArray[np.float32]) -> Half:
    largest, limit = float(np.abs(embedding).max()), float(np.finfo(np.float16).max)
    # A NaN makes this comparison fail, too.
    if not largest <= limit:
        raise ValueError(
            f"Found an embedding up to {largest:.3g}; wanted at most {limit:.0f}, what half precision holds. "
            "Leave the cache out for this encoder."
        )
    return embedding.astype(np.float16)


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of a network's state."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_embedding(path: Path) -> Half | None:
    """What is kept in a file, marked as used; None where there is none or it is not what was written."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    # A cache that somebody else filled may be for reading alone.
    with suppress(PermissionError):
        os.utime(path)
    digest, packed = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        log.warning("%s is damaged; its embedding is made anew", path)
        return None
    kept: Half = np.load(io.BytesIO(packed), allow_pickle=False)
    return kept


def _packed(embedding: Half) -> bytes:
    stream = io.BytesIO()
    np.save(stream, embedding, allow_pickle=False)
    return hashlib.sha256(stream.getvalue()).digest() + stream.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    """Under a name of its own first, so that another process never reads half a file."""
    with NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".partial", delete=False) as stream:
        partial = Path(stream.name)
        try:
            stream.write(content)
            stream.flush()
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def _sizes(paths: Iterable[Path]) -> Iterable[tuple[float, int, Path]]:
    """(last use, bytes, path) of those still there: another process may be removing them, too."""
    for path in paths:
        try:
            found: Any = path.stat()
        except FileNotFoundError:
            continue
        yield found.st_mtime, found.st_size, path
