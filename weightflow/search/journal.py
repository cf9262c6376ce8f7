"""What a search must not forget: `search.json` in its folder, rewritten whole after every report of a trial.

A search that was cut off goes on from here: trials that ended are kept and told to the sampler, those that were cut off
are run again from their start, and the time that was used counts.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from weightflow.errors import InputError
from weightflow.trials import TrialRecord, TrialState

FORMAT = 1
FILE = "search.json"


@dataclass(frozen=True)
class Past:
    """What an earlier process has done.

    Attributes:
        ended: trials that finished, were pruned or failed.
        cut_off: trials that were running, or were stopped with the search.
        seconds: of the time budget that are used.
        runs: how many processes worked on the search before.
    """

    ended: tuple[TrialRecord, ...] = ()
    cut_off: tuple[TrialRecord, ...] = ()
    seconds: float = 0.0
    runs: int = 0


class Journal:
    """Watches a search and writes it down.

    Args:
        folder: of the search.
        identity: what makes it this search (data, space, protocol, seed): it cannot be resumed with another one.
        past: what was read from an earlier process.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str], past: Past) -> None:
        self.path = folder / FILE
        self.identity = dict(identity)
        self.past = past
        self.began = time.time()
        self.records = {record.trial_id: record for record in (*past.ended, *past.cut_off)}
        self._write()

    def start_trial(self, record: TrialRecord) -> None:
        """Write down that a trial has started."""
        self._put(record)

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Write down an epoch."""
        self._put(record)

    def end_trial(self, record: TrialRecord) -> None:
        """Write down how a trial ended."""
        self._put(record)

    def _put(self, record: TrialRecord) -> None:
        self.records[record.trial_id] = record
        self._write()

    def _write(self) -> None:
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "seconds": self.past.seconds + time.time() - self.began,
            "runs": self.past.runs + 1,
            "trials": [asdict(record) for record in self.records.values()],
        }
        draft = self.path.with_suffix(".tmp")
        draft.write_text(json.dumps(content))
        os.replace(draft, self.path)


def read_past(folder: Path, identity: Mapping[str, str]) -> Past:
    """Read what an earlier process has written.

    Raises:
        InputError: there is no such search, or it is one of other data, space, protocol or seed.
    """
    try:
        content: dict[str, Any] = json.loads((folder / FILE).read_text())
        trials = [_record(values) for values in content["trials"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"`{folder}` holds no search that could go on ({error}); start one with `--name`.") from None
    changed = [
        f"{key} was {content['identity'].get(key)} and is {value}"
        for key, value in identity.items()
        if content["identity"].get(key) != value
    ]
    if changed:
        raise InputError(
            f"`{folder}` is another search: {'; '.join(changed)}. Resume it unchanged, or start a new one."
        )
    cut_off = (TrialState.RUNNING, TrialState.STOPPED)
    return Past(
        tuple(record for record in trials if record.state not in cut_off),
        tuple(replace(record, state=TrialState.STOPPED) for record in trials if record.state in cut_off),
        float(content["seconds"]),
        int(content["runs"]),
    )


def _record(values: dict[str, Any]) -> TrialRecord:
    typed: dict[str, Any] = {"state": TrialState(values["state"]), "history": tuple(values["history"])}
    return TrialRecord(**{**values, **typed})
