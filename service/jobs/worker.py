"""The loop of a worker: claim, run, commit, until nothing waits or the worker is told to stop.

It may be killed at any moment: what it holds is leased, what it writes is named by nobody until its commit, and the
commit is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress

from service.errors import BreastCascadeError, Cancelled, CapacityError, LeaseLost, SetupError
from service.jobs.model import Claim, Done, Failed
from service.jobs.perform import Bench, attempt_prefix, item_prefix
from service.jobs.warden import Held, Stopping, Warden
from service.log import event

# Between two tries of what the surroundings kept from being done: a full disk, a database or a store that is away.
PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
# Between two tries of a commit that was not answered.
AGAIN_S = 0.5

Run = Callable[[Claim, Held], Done | Failed]


class Unwell(Exception):
    """This process must end: an item failed in a way that no item should."""


class Worker:
    """One process's worker.

    Args:
        bench: what it works with.
        run: one item to its outcome; raises what ``held.check`` does.
        warden: who looks after the item in hand.
    """

    def __init__(
        self,
        bench: Bench,
        run: Run,
        warden: Warden,
    ) -> None:
        self._rows, self._store = bench.rows, bench.store
        self._run, self._warden = run, warden
        self._pauses = 0

    def work(self) -> None:
        """Do what waits, item by item. Raises Unwell when this process must end."""
        try:
            while not self._warden.stopping() and (claim := self._warden.claimed()) is not None:
                self._attend(claim)
                self._pauses = 0
        except Stopping:
            event("info", "item_given_back")
        except (CapacityError, OSError) as error:
            event("warning", "worker_pauses", kind=type(error).__name__)
            self._warden.beat(busy=False)
            self._pause()
        finally:
            self._warden.beat(busy=False)

    def _attend(self, claim: Claim) -> None:
        with self._warden.holding(claim) as held:
            try:
                outcome = self._run(claim, held)
            except (LeaseLost, Cancelled) as error:
                self._drop(claim, error)
            except (Stopping, CapacityError, SystemExit, KeyboardInterrupt):
                self._give_back(claim)
                raise
            except SetupError as error:
                self._give_back(claim)
                raise Unwell(error.code) from error
            except Exception as error:
                self._crashed(claim, error)
            else:
                self._settle(claim, outcome)

    def _settle(self, claim: Claim, outcome: Done | Failed) -> None:
        files = outcome.files if isinstance(outcome, Done) else ()
        if not self._committed(claim, outcome):
            self._clear(attempt_prefix(claim))
            return
        self._warden.finished += 1
        # Else nothing can be there: a question to object storage is not free.
        if claim.attempt > 1 or claim.item.kind == "volume" or isinstance(outcome, Failed):
            # Checkpoints, and what an earlier attempt could not remove because it was killed.
            self._clear(item_prefix(claim), {claim.item.key, *(file.key for file in files)})

    def _committed(self, claim: Claim, outcome: Done | Failed) -> bool:
        """Nothing may be deleted before this has an answer; the warden ends the process where none comes."""
        told = False
        while True:
            try:
                return self._rows.commit(claim, outcome)
            except CapacityError as error:
                if not told:
                    event("warning", "commit_not_answered", code=error.code)
                told = True
                time.sleep(AGAIN_S)

    def _drop(self, claim: Claim, error: BreastCascadeError) -> None:
        event("info", "item_dropped", code=error.code)
        if isinstance(error, Cancelled):
            self._clear(item_prefix(claim), {claim.item.key})
        else:
            # Whoever has the item now may go on from its checkpoint.
            self._clear(attempt_prefix(claim))

    def _give_back(self, claim: Claim) -> None:
        # Where this fails, too, the lease runs out.
        with suppress(CapacityError, OSError):
            self._clear(attempt_prefix(claim))
            self._rows.release(claim)

    def _crashed(self, claim: Claim, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            # The surroundings again, in the system's own words: no room, no permission, too many open files.
            self._give_back(claim)
            raise error
        # Neither the input nor the surroundings: whatever state this process is in, a fresh one is better.
        event("error", "item_crashed", kind=type(error).__name__, place=place(error))
        self._rows.bury(claim.worker)
        raise Unwell(type(error).__name__) from error

    def _clear(self, prefix: str, keep: Collection[str] = ()) -> None:
        # What cannot be removed now the sweeper finds later.
        with suppress(CapacityError, OSError):
            for found in list(self._store.keys(prefix)):
                if found.key not in keep:
                    self._store.delete(found.key)

    def _pause(self) -> None:
        """Be idle for a while; reconcile then finds this worker idle and sends the next hint."""
        end = time.monotonic() + min(LONGEST_PAUSE_S, PAUSE_S * 2**self._pauses)
        self._pauses += 1
        while time.monotonic() < end and not self._warden.stopping():
            time.sleep(min(PAUSE_S, max(0.0, end - time.monotonic())))


def place(error: BaseException) -> str:
    """Module and line where it was raised; never its message, which may quote a file."""
    trace, found = error.__traceback__, "unknown"
    while trace is not None:
        found = f"{trace.tb_frame.f_globals.get('__name__', 'unknown')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
