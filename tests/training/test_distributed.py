"""Many processes train as one would: the same weights from the same cases, written by one of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.training.test_state import recipe
from training.distributed import World, found_device, world
from training.fit import BEST, CHECKPOINT, fit
from training.phantoms.tiny import cases
from training.state import read

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from training.fit import fit
from training.recipe import read_recipe
recipe, data, out = map(Path, sys.argv[1:])
fit(read_recipe(recipe), data, out, workers=0)
"""


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _together(arguments: list[Path], size: int) -> None:
    """Run the program in ``size`` processes that find each other as torch's launcher lets them."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(size)}
    environment = {**os.environ, **shared, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]


def test_two_processes_train_what_one_would(tmp_path: Path) -> None:
    """No batch norm and no dropout: then halves of a batch give the gradient of the whole."""
    cases(tmp_path, kind="mri")
    plain = recipe(
        network={"path": "models.unet.tiny", "arguments": {"dropout": [0, 0]}},
        loss={"path": "torch.nn.functional.binary_cross_entropy_with_logits"},
        schedule={"batch": 4, "epochs": 2},
    )
    fit(plain, tmp_path, tmp_path / "alone", workers=0)
    half = plain.model_copy(update={"schedule": plain.schedule.model_copy(update={"batch": 2})})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(half.model_dump(mode="json", exclude_none=True)))
    _together([tmp_path / "recipe.yaml", tmp_path, tmp_path / "both"], 2)
    alone, both = (read(tmp_path / name / CHECKPOINT) for name in ("alone", "both"))
    for name, value in alone["network"].items():
        torch.testing.assert_close(both["network"][name], value, rtol=1e-4, atol=1e-5)
    assert [row["loss"] for row in both["history"]] == pytest.approx(
        [row["loss"] for row in alone["history"]], rel=1e-4
    )
    assert (tmp_path / "both" / BEST).is_file()
    assert len(list((tmp_path / "both").glob("events.out.tfevents*"))) == 1


def test_alone_there_is_nobody_to_ask() -> None:
    with world("cpu") as here:
        assert here == World(torch.device("cpu"))
        assert here.first
        assert here.mean(3.0) == here.from_first(3.0) == 3.0
        network = torch.nn.Linear(1, 1)
        assert here.replica(network) is network


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        ValueError, match="Found no GPU for device cuda:1; wanted one. Set the recipe's `device` to auto"
    ):
        found_device("cuda:1")
    assert found_device("auto") == "cpu"
