"""Sending to MLflow what it missed: all of it is on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weightflow.errors import InputError
from weightflow.search.book import claim, read_book
from weightflow.search.bundle import CONCLUSION, MODEL, REPORT, SCORES
from weightflow.tracking import Results, RunFacts, TrackingConfig
from weightflow.tracking import sync as send
from weightflow.trials import TrialRecord, TrialState


def sync(folder: Path, tracking: TrackingConfig) -> dict[str, str]:
    """Bring MLflow up to date with the search in `folder`; what is there already stays as it is.

    Returns:
        what a user may look up, as `SearchRun.finish` says.

    Raises:
        InputError: there is no search in the folder, it is still running, or MLflow cannot be reached.
    """
    about, records = read_book(folder)
    lock = claim(folder)
    try:
        return _send(folder, tracking, about, records)
    finally:
        lock.release()


def _send(
    folder: Path, tracking: TrackingConfig, about: Mapping[str, Any], records: Sequence[TrialRecord]
) -> dict[str, str]:
    ended = _conclusion(folder)
    running = any(record.state in {TrialState.RUNNING, TrialState.STOPPED} for record in records)
    if ended is None:
        results = Results("KILLED" if running else "FAILED")
    else:
        best = next(record for record in records if record.number == ended["best"])
        files = [folder / SCORES, folder / REPORT]
        pictures = sorted((folder / "pictures").glob("*.png"))
        results = Results("FINISHED", best, folder / MODEL, files, pictures, ended["metrics"])
    return send(tracking, about["id"], RunFacts(**about["facts"]), records, results)


def _conclusion(folder: Path) -> dict[str, Any] | None:
    """Return what the search has come to, if it has come to its end."""
    try:
        return json.loads((folder / CONCLUSION).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"`{folder / CONCLUSION}` cannot be read ({error}); end the search again with --resume."
        ) from None
