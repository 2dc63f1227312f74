"""The cache of embeddings: made once, told apart, kept under its limit, and never trusted when damaged."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn
from torch.utils.data import DataLoader

from models.sam import tiny
from service.manifest import InputSpec, Window
from service.preprocess import prepare
from training.datasets.case import Case
from training.embeddings import SUFFIX, EmbeddingStore, read_embedding, weights_digest
from training.losses import dice_bce
from training.prompts import Prompts, PromptSamples, View
from training.samples import Loaded

SPEC = InputSpec(size=(64, 64), channels=3, window=Window(kind="range", low=0, high=255))


class Counting(nn.Module):
    """A frozen encoder of one convolution that counts its pictures."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, stride=8, bias=False)
        nn.init.constant_(self.conv.weight, gain / 64)
        self.requires_grad_(False)
        self.runs = 0

    def forward(self, image: Tensor) -> Tensor:
        self.runs += 1
        return self.conv(image)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 30, 1), np.uint8)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def test_a_picture_meets_the_encoder_once(tmp_path: Path) -> None:
    encoder = Counting()
    store = EmbeddingStore(tmp_path / "cache", encoder, SPEC)
    first = store.of(picture())
    assert (first.shape, first.dtype) == ((4, 8, 8), torch.float32)
    again = EmbeddingStore(tmp_path / "cache", encoder, SPEC).of(picture().copy())
    assert torch.equal(first, again)
    assert encoder.runs == 1


def test_half_precision_is_enough_for_sam(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = tiny().eval()
    store = EmbeddingStore(tmp_path, network.encoder, SPEC)
    tensors = [store.of(picture(seed)) for seed in range(2)]
    again = torch.stack([store.of(picture(seed)) for seed in range(2)])
    assert torch.equal(torch.stack(tensors), again)
    prompt = torch.tensor([[[5.0, 5, 40, 50]]]).repeat(2, 1, 1)
    with torch.no_grad():
        images = torch.stack([torch.from_numpy(prepare(picture(seed), SPEC)[0]) for seed in range(2)])
        torch.testing.assert_close(again, network.encoder(images), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(network(again, prompt), network(images, prompt), rtol=1e-2, atol=1e-3)


def test_picture_weights_and_input_block_tell_embeddings_apart(tmp_path: Path) -> None:
    other_spec = SPEC.model_copy(update={"letterbox": True})
    stores = [
        EmbeddingStore(tmp_path, Counting(), SPEC),
        EmbeddingStore(tmp_path, Counting(gain=2), SPEC),
        EmbeddingStore(tmp_path, Counting(), other_spec),
    ]
    found = [store.of(picture()) for store in stores] + [stores[0].of(picture(1))]
    assert len(files(tmp_path)) == 4
    assert not any(torch.equal(found[a], found[b]) for a in range(4) for b in range(a))


@given(arrays(np.uint8, (5, 4, 1)), arrays(np.uint8, (5, 4, 1)))
def test_keys_differ_where_pictures_differ(one: np.ndarray, other: np.ndarray) -> None:
    store = EmbeddingStore(Path("unused"), Counting(), SPEC)
    assert (store._key(one) == store._key(other)) == np.array_equal(one, other)
    assert store._key(one) != store._key(one.reshape(4, 5, 1))
    assert store._key(one) != store._key(one.astype(np.int8))
    assert store._key(np.asfortranarray(one)) == store._key(one)


@given(st.data())
def test_a_damaged_file_is_noticed_and_made_anew(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    encoder = Counting()
    store = EmbeddingStore(tmp_path_factory.mktemp("cache"), encoder, SPEC)
    wanted = store.of(picture())
    (path,) = files(store.folder)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    assert read_embedding(path) is None
    assert torch.equal(store.of(picture()), wanted)
    assert encoder.runs == 2
    assert torch.equal(store.of(picture()), wanted)
    assert encoder.runs == 2


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / f"a{SUFFIX}").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "breast_cascade.training"):
        assert read_embedding(tmp_path / f"a{SUFFIX}") is None
    assert "is damaged; its embedding is made anew" in caplog.text
    assert read_embedding(tmp_path / f"b{SUFFIX}") is None


def test_the_longest_unused_goes_beyond_the_limit_and_nothing_else(tmp_path: Path) -> None:
    encoder = Counting()
    size = len(one_file(tmp_path / "scale"))
    cache = tmp_path / "cache"
    store = EmbeddingStore(cache, encoder, SPEC, limit=3 * size)
    for seed in range(3):
        store.of(picture(seed))
        age(cache)
    (cache / "notes.txt").write_bytes(bytes(10 * size))
    store.of(picture(0))
    assert encoder.runs == 3
    store.of(picture(3))
    assert len(files(cache)) == 3
    assert (cache / "notes.txt").exists()
    store.of(picture(0))
    assert encoder.runs == 4
    store.of(picture(1))
    assert encoder.runs == 5


def one_file(folder: Path) -> bytes:
    EmbeddingStore(folder, Counting(), SPEC).of(picture())
    return files(folder)[0].read_bytes()


def age(folder: Path) -> None:
    """As if what lies there had been used a minute earlier."""
    for path in files(folder):
        used = path.stat().st_mtime - 60
        os.utime(path, (used, used))


def test_what_is_over_the_limit_alone_is_not_kept(tmp_path: Path) -> None:
    encoder = Counting()
    store = EmbeddingStore(tmp_path / "cache", encoder, SPEC, limit=10)
    assert torch.equal(store.of(picture()), store.of(picture()))
    assert encoder.runs == 2
    assert files(tmp_path / "cache") == []


def test_filling_leaves_nothing_to_do(tmp_path: Path) -> None:
    encoder = Counting()
    store = EmbeddingStore(tmp_path, encoder, SPEC)
    pictures = [picture(0), picture(1), picture(0)]
    seen: list[np.ndarray] = []

    def progress(every):  # type: ignore[no-untyped-def]
        for one in every:
            seen.append(one)
            yield one

    store.fill(pictures, progress)
    assert (encoder.runs, len(seen)) == (2, 3)
    store.of(picture(1))
    assert encoder.runs == 2
    assert not list(tmp_path.glob("*.partial"))


def test_an_encoder_that_trains_has_no_cache(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"Found an encoder that trains \(vision_encoder.* more\); wanted a frozen one"
    ):
        EmbeddingStore(tmp_path, tiny(trained="encoder_and_decoder").encoder, SPEC)


@pytest.mark.parametrize(("gain", "said"), [(1e9, r"up to \S+e\+0"), (float("nan"), "up to nan")])
def test_what_half_precision_does_not_hold_is_refused(tmp_path: Path, gain: float, said: str) -> None:
    store = EmbeddingStore(tmp_path, Counting(gain), SPEC)
    with pytest.raises(ValueError, match=f"Found an embedding {said}.*wanted at most 65504"):
        store.of(picture())
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="Found no way to write .*file/cache.* wanted [0-9]+ bytes of room"):
        EmbeddingStore(tmp_path / "file" / "cache", Counting(), SPEC).of(picture())


def test_the_digest_of_weights_knows_names_and_values() -> None:
    one, same, other = (nn.Linear(2, 2) for _ in range(3))
    same.load_state_dict(one.state_dict())
    assert weights_digest(one) == weights_digest(same)
    assert weights_digest(one) != weights_digest(other)
    assert weights_digest(one) != weights_digest(nn.Sequential(one))
    assert weights_digest(one) != weights_digest(one.double())


def test_training_mode_is_left_as_it_was(tmp_path: Path) -> None:
    encoder = Counting().train()
    EmbeddingStore(tmp_path, encoder, SPEC).of(picture())
    assert encoder.training


def test_a_decoder_learns_from_the_cache_alone(tmp_path: Path) -> None:
    """What training with cached embeddings comes to, end to end: loss falls and the encoder saw each picture once."""
    torch.manual_seed(0)
    network = tiny()
    runs: list[int] = []
    network.encoder.register_forward_hook(lambda module, inputs, output: runs.append(1))
    store = EmbeddingStore(tmp_path, network.encoder, SPEC)
    samples = PromptSamples(two_cases(), Prompts(), View(SPEC, store.of), seed=0)
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], 1e-2)
    losses = []
    for epoch in range(60):
        samples.epoch = epoch
        (inputs, target, _) = next(iter(DataLoader(samples, batch_size=len(samples))))
        loss = dice_bce(network(*inputs), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert len(runs) == 2
    assert losses[-1] < 0.7 * losses[0]


def two_cases() -> list[Loaded]:
    """Bright squares on noise."""
    cases = []
    for number, (left, top) in enumerate([(8, 8), (16, 12)]):
        image, mask = picture(number)[..., 0] // 2, np.zeros((40, 30), np.uint8)
        mask[top : top + 12, left : left + 12] = 1
        case = Case(str(number), Path(f"{number}.png"), (), "", str(number), 0)
        cases.append(Loaded(case, np.where(mask > 0, 255, image).astype(np.uint8), mask))
    return cases
