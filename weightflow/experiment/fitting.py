"""One model of one data set, without a search: what `fit` does."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from rich.console import Console

from weightflow.data import Dataset, Snapshots
from weightflow.device import find_device
from weightflow.errors import InputError
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.members import check_members, fitting, with_members
from weightflow.experiment.preparation import prepare
from weightflow.experiment.trial import train
from weightflow.model import WeightFlow
from weightflow.progress import Progress, Shown, unseen
from weightflow.side_by_side import one_thread
from weightflow.training import EpochReport
from weightflow.types import whole_number


def fit_model(
    data: Dataset | Snapshots,
    config: ExperimentConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    observer: Callable[[EpochReport], None] | None = None,
    progress: Progress | bool = False,
    members: int = 0,
) -> WeightFlow:
    """Fit one model, in this process, and its members, if any are asked for, in others.

    Args:
        data: snapshots, all of which are fitted; or a data set, whose seen times are.
        config: the defaults where it is None.
        seed: rules all random numbers.
        device: where to compute.
        observer: told after each epoch.
        progress: True shows on the terminal, or in the notebook, how far it is; a function is told the phase, how much
            of it is done, and how much there is.
        members: how many more fits, to resampled units, say by their spread how sure the model is (`WeightFlow.band`).
            Rows of snapshots are units of their own; those of a data set may say that they are not.

    Returns:
        the model; its `record` says under `fidelity` how it stands to the fitted snapshots, and under `members` which
        of these failed: the others are kept.

    Raises:
        InputError: the data cannot be modelled, or what was given is in no form that is known, or the device is not
            there.
        TrainingError: a loss is no longer finite, or only one member is left whose loss was.
    """
    if not isinstance(data, Dataset | Snapshots):
        raise InputError(
            f"a {type(data).__name__} was given to be fitted; give `Snapshots(times, samples)`, with a cloud of shape "
            "(n, dim) for each time, or what `weightflow.read` makes of a file or a table."
        )
    if not isinstance(config, ExperimentConfig | None):
        raise InputError(
            f"a {type(config).__name__} was given as `config`; give what `weightflow.preset` returns, such as "
            "weightflow.preset('default', training={'epochs': 24})."
        )
    seed, device = whole_number("seed", seed, 0), find_device(device)
    check_members(members)
    snapshots, units = (data.visible, data.visible_units) if isinstance(data, Dataset) else (data, None)
    chosen = config or ExperimentConfig()
    with _told(progress) as told, one_thread():
        prepared = prepare(snapshots, chosen, seed, device=device, progress=told)
        model = train(prepared, chosen, seed, device, observer, told)
        if not members:
            return model
        return with_members(model, fitting(snapshots, units, chosen, device), members, seed, told)


@contextmanager
def _told(progress: Progress | bool) -> Generator[Progress, None, None]:
    """Return who is told; what is shown is shown for the time of the block."""
    if callable(progress):
        yield progress
    elif progress:
        with Shown(Console(stderr=True)) as shown:
            yield shown
    else:
        yield unseen
