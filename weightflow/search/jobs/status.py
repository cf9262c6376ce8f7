"""How far a search is, read from its folder: `python -m weightflow.search.jobs.status DIR`."""

import sys
from collections import Counter
from pathlib import Path

from weightflow.errors import InputError
from weightflow.search.folder import CONCLUSION
from weightflow.search.jobs.bundle import tell
from weightflow.search.study.reading import claim, read_study
from weightflow.trials import TrialState


def status(folder: Path) -> str:
    """Say in a line how many trials there are, how the best stands, and whether the search goes on.

    Raises:
        InputError: there is no search in the folder.
    """
    _, records = read_study(folder)
    going = _is_worked_on(folder)
    states = Counter(record.state for record in records)
    if going:  # those that have not ended
        states[TrialState.RUNNING] += states.pop(TrialState.STOPPED, 0)
    told = ", ".join(f"{states[state]} {state.value}" for state in TrialState if states[state]) or "none yet"
    scored = [(r.score, r.number) for r in records if r.state is TrialState.FINISHED and r.score is not None]
    best = f"; the best is trial {min(scored)[1]:02d} with score {min(scored)[0]:.4f}" if scored else ""
    end = (
        "it is running" if going else "it has come to its end" if (folder / CONCLUSION).is_file() else "it was cut off"
    )
    return f"{folder.name}: {len(records)} trials ({told}){best}; {end}"


def _is_worked_on(folder: Path) -> bool:
    try:
        claim(folder).release()
    except InputError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(tell("weightflow.search.jobs.status", lambda folder: f"{status(folder)}\n", sys.argv[1:]))
