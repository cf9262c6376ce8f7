"""Sending to MLflow what it missed: all of it is on disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from weightflow.errors import InputError
from weightflow.evaluation import Scores, read_conditions
from weightflow.search.folder import CONCLUSION, CONDITIONS, MODEL, REPORT, SCORES
from weightflow.search.study.reading import claim, read_study
from weightflow.tracking import Results, RunFacts, TrackingConfig
from weightflow.tracking import sync as send
from weightflow.trials import Repeated, TrialRecord, TrialState, why_none_finished


def sync(folder: Path, tracking: TrackingConfig, register: bool = False) -> dict[str, str]:
    """Bring MLflow up to date with the search in `folder`; what is there already stays as it is.

    Args:
        folder: of the search.
        tracking: where runs are kept.
        register: whether its model becomes a version of the registered one whatever its scores are.

    Returns:
        what a user may look up, as `SearchRun.finish` says.

    Raises:
        InputError: there is no search in the folder, it is still running, or MLflow cannot be reached.
    """
    about, records = read_study(folder)
    lock = claim(folder)
    try:
        return _send(folder, tracking, about, records, register)
    finally:
        lock.release()


def _send(
    folder: Path, tracking: TrackingConfig, about: Mapping[str, Any], records: Sequence[TrialRecord], register: bool
) -> dict[str, str]:
    ended = _conclusion(folder)
    running = any(record.state in {TrialState.RUNNING, TrialState.STOPPED} for record in records)
    if ended is not None:
        results = _finished(folder, ended, records, register)
    elif running:
        results = Results("KILLED", reason="it was stopped")
    else:
        results = Results("FAILED", reason=why_none_finished(records))
    return send(tracking, about["id"], RunFacts.of(about["facts"]), records, results, about.get("began"))


def _finished(folder: Path, ended: Mapping[str, Any], records: Sequence[TrialRecord], register: bool) -> Results:
    seeds = ended.get("seeds")
    results = Results(
        "FINISHED",
        best=next(record for record in records if record.number == ended["best"]),
        model_dir=folder / MODEL,
        files=[path for name in (SCORES, CONDITIONS, REPORT) if (path := folder / name).is_file()],
        pictures=sorted((folder / "pictures").glob("*.*g")),
        scores=Scores.from_json((folder / SCORES).read_text(encoding="utf-8")),
        conditions=read_conditions(folder / CONDITIONS),
        seeds=None if seeds is None else _repeated(**seeds),
        register=register or ended.get("register", False),
    )
    return replace(results, at=int(1000 * ended["ended"])) if "ended" in ended else results


def _repeated(number: int, chosen_by: float, scores: Sequence[float], failed: int) -> Repeated:
    return Repeated(number, chosen_by, tuple(scores), failed)


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
