"""ONNX files in, networks out, or an error that says why not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from service.errors import DeviceError, WeightsError
from service.network import CPU, CUDA, Device, OnnxNetwork
from tests import tiny_graphs

ON_CPU = Device("cpu")
cpu_only = pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime knows CUDA")


def network(content: bytes, device: Device = ON_CPU) -> OnnxNetwork:
    return OnnxNetwork(content, "tiny.onnx", device)


def test_a_network_runs() -> None:
    one = network(tiny_graphs.threshold())
    assert one.inputs == {"image": (None, 1, 32, 32)}
    assert one.provider == CPU
    out = one.run({"image": np.full((3, 1, 32, 32), 0.75, np.float32)})
    np.testing.assert_array_equal(out["logits"], np.full((3, 1, 32, 32), 5))


def test_warming_gives_the_outputs_for_zeros() -> None:
    (logits,) = network(tiny_graphs.threshold()).warm(2).values()
    np.testing.assert_array_equal(logits, np.full((2, 1, 32, 32), -10))


def test_a_graph_that_loads_and_does_not_run_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"tiny\.onnx: .*; wanted a graph that ONNX Runtime can run"):
        network(tiny_graphs.forgets_batch()).warm(2)


@pytest.mark.parametrize("content", [b"", b"garbage" * 50, tiny_graphs.threshold()[:-40]])
def test_bytes_that_are_no_graph_are_refused(content: bytes) -> None:
    with pytest.raises(WeightsError, match=r"tiny\.onnx: .*; wanted a graph in one file that ONNX Runtime loads"):
        network(content)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (["batch", 1, "height", 32], r"\(None, 1, None, 32\)"),
        (["batch", "channels", 32, 32], r"\(None, None, 32, 32\)"),
        ([1, 1, 32, 32], r"\(1, 1, 32, 32\)"),
        ([], r"\(\)"),
    ],
)
def test_only_the_batch_is_dynamic(axes: list[Any], shape: str) -> None:
    wanted = r"tensor\(float\) with a dynamic batch \(None\) and every other axis fixed"
    with pytest.raises(
        WeightsError, match=rf"tiny\.onnx: input image, tensor\(float\) of shape {shape}; wanted {wanted}"
    ):
        network(tiny_graphs.same(axes))


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE", "UINT8"])
def test_other_number_types_are_refused(kind: str) -> None:
    content = tiny_graphs.same(["batch", 1, 4, 4], getattr(onnx.TensorProto, kind))
    with pytest.raises(
        WeightsError, match=rf"input image, tensor\({kind.lower()}\) of shape .*; wanted tensor\(float\)"
    ):
        network(content)


@pytest.mark.parametrize("location", ["weights.bin", "below/weights.bin"])
def test_weights_in_a_file_beside_are_refused(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load_from_string(tiny_graphs.threshold())
    (tmp_path / location).parent.mkdir(exist_ok=True)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location=location, size_threshold=0)
    assert (tmp_path / location).exists()
    # ONNX Runtime would find it in the current directory.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"tiny\.onnx: .*; wanted a graph in one file"):
        network((tmp_path / "m.onnx").read_bytes())


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", Device("auto", 0, 3)),
        ("cpu", Device("cpu", 0, 3)),
        ("cuda", Device("cuda", 0, 3)),
        ("cuda:2", Device("cuda", 2, 3)),
    ],
)
def test_devices_are_parsed(text: str, device: Device) -> None:
    assert Device.parse(text, 3) == device


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "auto:0", "CPU", "cuda:1:2"])
def test_other_devices_are_refused(text: str) -> None:
    with pytest.raises(
        DeviceError, match=rf"Found device '{text}'; wanted auto, cpu, cuda or cuda:<number>\. Set BREAST_"
    ):
        Device.parse(text)


@cpu_only
def test_a_gpu_asked_for_and_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="Found an ONNX Runtime with .*CPU.*; wanted CUDAExecutionProvider. Install"):
        network(tiny_graphs.threshold(), Device("cuda"))


@cpu_only
def test_auto_takes_the_cpu_where_there_is_no_gpu() -> None:
    assert network(tiny_graphs.threshold(), Device("auto")).provider == CPU


def test_a_gpu_that_the_session_does_not_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As with a CUDA build whose libraries are missing: the provider is listed, the session falls back without a word.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    real = onnxruntime.InferenceSession
    asked: list[Any] = []

    def falls_back(content: bytes, options: Any, providers: list[Any]) -> Any:
        asked.extend(providers)
        return real(content, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    with pytest.raises(
        DeviceError, match=r"Found tiny\.onnx runs on CPUExecutionProvider; wanted CUDAExecutionProvider"
    ):
        network(tiny_graphs.threshold(), Device("cuda", 1))
    assert asked[0][0] == CUDA
    assert asked[0][1]["device_id"] == "1"
    assert network(tiny_graphs.threshold(), Device("auto")).provider == CPU
