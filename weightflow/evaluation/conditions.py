"""Scores at conditions that were left out: of each by itself, and of all together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from weightflow.data import Value, in_words
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.evaluation.scores import Scores
from weightflow.files import write_text


@dataclass(frozen=True)
class LeftOutCondition:
    """Scores at a condition that was left out.

    Attributes:
        at: the condition, by the names of the covariates.
        extrapolation: why it is one; empty where it lies among the others.
        scores: of the model and the alternatives there.
    """

    at: Mapping[str, Value]
    extrapolation: str
    scores: Scores


def overall(found: Sequence[LeftOutCondition], selected: bool = False) -> Scores:
    """Join the scores of conditions that lie among the others, or of all where none does, into one.

    Each time of each condition counts as much as any other. Their samples are independent, so that intervals hold.

    Args:
        found: one condition at least.
        selected: whether the model's configuration was chosen by these very conditions.
    """
    among = [one for one in found if not one.extrapolation] or list(found)
    parts: list[Scores] = []
    places: list[str] = []
    for one in among:
        times = one.scores.times
        parts.append(replace(one.scores, times=tuple(float(len(places) + i) for i in range(len(times)))))
        places += [f"{in_words(one.at)}, t={written(time)}" for time in times]
    digest = sha256("".join(part.data for part in parts).encode()).hexdigest()[:16]
    return replace(Scores.joined(parts), places=tuple(places), selected=selected, data=digest)


def read_conditions(path: Path) -> tuple[LeftOutCondition, ...]:
    """Read what `write_conditions` has written; nothing where no condition was left out.

    Raises:
        InputError: the file is damaged, or of another format.
    """
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["conditions"]
        return tuple(
            LeftOutCondition(one["at"], one["extrapolation"], Scores.from_json(json.dumps(one["scores"])))
            for one in entries
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"`{path}` is no file of scores by condition ({error!r}); score again.") from error


def write_conditions(path: Path, found: Sequence[LeftOutCondition]) -> None:
    """Write all scores into one file: a list of conditions, each with scores as those of one course are written."""
    entries = [
        {"at": dict(one.at), "extrapolation": one.extrapolation, "scores": json.loads(one.scores.to_json())}
        for one in found
    ]
    protocol = found[0].scores.protocol if found else ""
    write_text(path, json.dumps({"protocol": protocol, "conditions": entries}, indent=1) + "\n")
