"""Who died with its owner is told from who died by itself, wherever and whenever the owner ran."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from service.jobs.owners import Owned, owners_folder
from service.jobs.publish import Courier
from service.jobs.reconcile import Reconcile
from service.jobs.rows import Rows
from service.settings import Settings
from tests.service.jobs.making import accepted, claimed

ROOT = Path(__file__).resolve().parents[3]
OWNS = """
import sys, time
from pathlib import Path
from service.jobs.owners import Owned
owned = Owned(Path(sys.argv[1]), "w1")
print("started", flush=True)
time.sleep(60)
"""


def deaths(rows: Rows) -> int:
    """So often the one item runs until it runs alone."""
    count = 0
    while not claimed(rows).alone:
        rows.bury("w1")
        count += 1
    return 3 - count


def test_a_worker_is_orphaned_when_its_owner_is_killed(rows: Rows, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    folder = owners_folder(settings)
    reconcile = Reconcile(rows, Courier(settings), lambda _: None, folder)
    accepted(rows)
    rows.beat("w1", "cpu", True, 0)
    claimed(rows)
    with subprocess.Popen([sys.executable, "-c", OWNS, folder], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        reconcile()
        assert (rows.running("cpu"), len(rows.workers())) == (1, 1)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        reconcile()
    assert (rows.running("cpu"), rows.workers()) == (0, ())
    assert list(folder.iterdir()) == []
    assert deaths(rows) == 0
    reconcile.close()


def test_an_owner_leaves_nothing_and_needs_no_room(tmp_path: Path) -> None:
    owned = Owned(tmp_path / "owners", "w1")
    assert [path.name for path in (tmp_path / "owners").iterdir()] == ["w1"]
    owned.close()
    assert list((tmp_path / "owners").iterdir()) == []
    (tmp_path / "file").touch()
    Owned(tmp_path / "file", "w1").close()
