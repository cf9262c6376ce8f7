"""What a folder holds of a study: read, claimed, or refused, without going on with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout

from weightflow.errors import InputError, first_line
from weightflow.search.folder import STUDY
from weightflow.search.space.space import Space
from weightflow.search.study.records import completing, records_of
from weightflow.search.study.storage import Storage, open_storage
from weightflow.trials import Parameter, TrialRecord, TrialState

FORMAT = 3  # raised whenever trials are scored otherwise: a search that goes on compares all of its trials
EARLY_FILE = "search.json"  # in which the first versions kept a search


def read_study(folder: Path) -> tuple[dict[str, Any], tuple[TrialRecord, ...]]:
    """Read what a search has written, without going on with it: what it is, and its trials.

    Raises:
        InputError: there is no search in the folder.
    """
    refuse_early_versions(folder)
    if not (folder / STUDY).is_file():
        raise InputError(f"`{folder}` holds no search (there is no `{STUDY}` in it); start one with `--name`.")
    storage = open_storage(folder / STUDY)
    about = about_of(storage)
    if about is None:
        raise InputError(f"`{folder / STUDY}` holds no search yet; remove the folder and start anew.")
    return about, tuple(records_of(_loaded(storage), completing(about)))


def load_study(folder: Path) -> optuna.study.Study:
    """Read the study of a search as Optuna knows it.

    Raises:
        InputError: there is no search in the folder.
    """
    read_study(folder)
    return _loaded(open_storage(folder / STUDY))


def check_same(folder: Path, identity: Mapping[str, Any]) -> None:
    """Find out whether a search that is to go on is the one in the folder.

    Raises:
        InputError: it is another one, and the message says in what.
    """
    about = about_of(open_storage(folder / STUDY))
    if about is not None:  # none where it was killed as it began
        refuse_another(folder, about, identity)


def space_of(folder: Path) -> Mapping[str, Any] | None:
    """Return what `Space.content` told of the search in a folder; None where none is there that can go on."""
    about = about_of(open_storage(folder / STUDY)) if (folder / STUDY).is_file() else None
    return about["identity"]["space"] if about is not None and about.get("format") == FORMAT else None


def refuse_early_versions(folder: Path) -> None:
    """Refuse a search of the first versions, which kept it in another file.

    Raises:
        InputError: it is one; the message says what can be done with it.
    """
    if (folder / EARLY_FILE).is_file() and not (folder / STUDY).is_file():
        raise InputError(
            f"`{folder}` holds a search of an early version of WeightFlow, which kept it in `{EARLY_FILE}`; this one "
            "cannot go on with it, nor read its trials. Its report and scores can be read as before. Start anew under "
            "another `--name`; what was best there can be put under `first_trials` of the search space."
        )


def refuse_another(folder: Path, about: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse to go on with a study of another format, or of another search.

    Raises:
        InputError: it is one; the message says in what it differs.
    """
    if about.get("format") != FORMAT:
        raise InputError(
            f"`{folder}` holds a search of another version of WeightFlow, which scored its trials otherwise: they "
            "cannot be compared with new ones, and it cannot go on. Its report and scores can be read as before. Start "
            f"anew under another `--name`, with `--warm-start {folder.name}`: that tries early what was best there."
        )
    if changed := _changes(about["identity"], identity):
        raise InputError(
            f"`{folder}` is another search: {'; '.join(changed)}. Resume it unchanged, or start a new one."
        )


def check_whole(folder: Path, storage: Storage, space: Space) -> None:
    """Find out whether trials that ended lack a parameter: its default would be taken for what they had tried.

    Raises:
        InputError: one of them does.
    """
    for trial in _loaded(storage).get_trials(deepcopy=False):
        try:
            if trial.state.is_finished():
                space(optuna.trial.FixedTrial(trial.params))
        except ValueError as error:
            raise InputError(
                f"trial {trial.number} in `{folder / STUDY}` is not whole ({first_line(error)}); put the line back "
                f'that is missing, or keep only those before the first with `"trial_id":{trial.number}`.'
            ) from None


def best_points(folder: Path, n: int = 3) -> tuple[dict[str, Parameter], ...]:
    """Return the configurations of the `n` best trials of an earlier search.

    Raises:
        InputError: there is no such search, or no trial of it finished.
    """
    _, records = read_study(folder)
    finished = [r for r in records if r.state is TrialState.FINISHED and r.repeat_of is None and r.score is not None]
    if not finished:
        raise InputError(f"no trial of the search in `{folder}` finished, so that it has no best one; take another.")
    return tuple(record.params for record in sorted(finished, key=lambda record: record.score or 0.0)[:n])


def claim(folder: Path) -> FileLock:
    """Take the folder of a search for this process alone, until the lock is released.

    Raises:
        InputError: another process has it.
        OSError: the folder cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process works on the search in `{folder}`; wait for it, or choose another `--name`."
        ) from None
    return lock


def name_of(storage: Storage) -> str | None:
    """Return the name of the one study in a storage; None where a process was killed before it was made."""
    return next((study.study_name for study in storage.get_all_studies()), None)


def about_of(storage: Storage) -> dict[str, Any] | None:
    """Return what the study says of itself; None where a process was killed before it could."""
    name = name_of(storage)
    return None if name is None else storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get("about")


def _loaded(storage: Storage) -> optuna.study.Study:
    return optuna.load_study(study_name=name_of(storage), storage=storage)


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = _leaves(was), _leaves(json.loads(json.dumps(now)))
    return [
        f"{key} was {before.get(key, 'not there')} and is {after.get(key, 'not there')}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def _leaves(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        leaves |= _leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return leaves
