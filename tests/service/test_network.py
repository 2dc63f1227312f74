"""ONNX files in, networks out, or an error that says why not."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from service import network as network_module
from service.errors import DeviceError, WeightsError
from service.network import CPU, CUDA, Device, OnnxNetwork, installed_runtimes
from tests import tiny_graphs

ON_CPU = Device("cpu")
MISSING = "Failed to load libcudart.so.13\n"
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
        ("auto", Device("auto", 0, 3, 2**30)),
        ("cpu", Device("cpu", 0, 3, 2**30)),
        ("cuda", Device("cuda", 0, 3, 2**30)),
        ("cuda:2", Device("cuda", 2, 3, 2**30)),
    ],
)
def test_devices_are_parsed(text: str, device: Device) -> None:
    assert Device.parse(text, 3, 2**30) == device


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


class Gpu:
    """An ONNX Runtime built for CUDA, on a computer that has none: what it was asked, and how it fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: Exception | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self._failure = failure
        self._real = onnxruntime.InferenceSession
        network_module._load_cuda_libraries.cache_clear()
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: sys.stdout.write(MISSING))
        monkeypatch.setattr(onnxruntime, "InferenceSession", self._session)

    def _session(self, content: bytes, options: Any, providers: list[Any], **further: Any) -> Any:
        self.asked.append({"providers": providers, **further})
        if self._failure is not None and providers[0] != CPU:
            raise self._failure
        return self._real(content, options, providers=[CPU])


def test_a_gpu_that_the_session_does_not_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As without the CUDA libraries or the driver: the provider is listed, the session falls back without an error.
    Gpu(monkeypatch)
    with pytest.raises(
        DeviceError, match=r"Found tiny\.onnx runs on CPUExecutionProvider; wanted CUDAExecutionProvider"
    ):
        network(tiny_graphs.threshold(), Device("cuda", 1))
    assert network(tiny_graphs.threshold(), Device("auto")).provider == CPU


def test_a_gpu_that_fails_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = RuntimeError("/src/info.cc:63 parse\nCUDA failure 100: no CUDA-capable device is detected ; GPU=-1")
    Gpu(monkeypatch, failure)
    with pytest.raises(
        DeviceError, match=r"Found tiny\.onnx: CUDA failure 100: no CUDA-capable device is detected; wanted CUDA"
    ):
        network(tiny_graphs.threshold(), Device("cuda"))
    # Where nobody insists on the GPU, the CPU does it.
    assert network(tiny_graphs.threshold(), Device("auto")).provider == CPU


def test_a_gpu_that_fails_otherwise_is_refused_with_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu(monkeypatch, RuntimeError("Unknown provider option: nonsense\nstack"))
    with pytest.raises(DeviceError, match=r"Found tiny\.onnx: Unknown provider option: nonsense; wanted CUDA"):
        network(tiny_graphs.threshold(), Device("cuda"))


@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_a_bad_graph_is_not_the_gpus_fault(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu(monkeypatch, RuntimeError("no graph"))
    with pytest.raises(WeightsError, match=r"tiny\.onnx: .*; wanted a graph in one file that ONNX Runtime loads"):
        network(b"garbage", Device(kind))


def test_what_a_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch)
    network(tiny_graphs.threshold(), Device("auto", 1, memory=2**30))
    ((cuda, options), cpu) = gpu.asked[0]["providers"]
    assert (cuda, cpu) == (CUDA, CPU)
    assert options == {
        "device_id": "1",
        "gpu_mem_limit": "1073741824",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    assert gpu.asked[0]["enable_fallback"] == 0


def test_cuda_libraries_that_are_missing_are_told_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Gpu(monkeypatch)
    for _ in range(2):
        network(tiny_graphs.threshold(), Device("auto"))
    assert capsys.readouterr() == ("", MISSING)


@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_both_builds_of_the_runtime_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "1.31.1")
    with pytest.raises(
        DeviceError,
        match=r"Found onnxruntime 1\.31\.1 and onnxruntime-gpu 1\.31\.1; wanted one of them: .*Uninstall both",
    ):
        network(tiny_graphs.threshold(), Device(kind))
    assert network(tiny_graphs.threshold()).provider == CPU


def test_one_build_of_the_runtime_is_installed_here() -> None:
    assert list(installed_runtimes()) in (["onnxruntime"], ["onnxruntime-gpu"])


@pytest.mark.parametrize(
    ("side", "memory", "batch"),
    [
        (256, 4 * 2**30, 32),
        (192, 4 * 2**30, 32),
        (128, 4 * 2**30, 64),
        (512, 4 * 2**30, 8),
        (512, 16 * 2**30, 32),
        (64, 2**40, 64),
        (4096, 2**20, 8),
    ],
)
def test_a_gpu_gets_as_many_as_fill_half_of_its_memory(side: int, memory: int, batch: int) -> None:
    assert network_module.batch_on_gpu({"image": (None, 3, side, side), "small": (None, 4)}, memory) == batch


def test_a_cpu_gets_few() -> None:
    assert network(tiny_graphs.threshold()).batch == network_module.ON_CPU
