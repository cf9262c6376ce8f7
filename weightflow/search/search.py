"""What is searched for: in which data, how they are judged, over which space, and how."""

import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from weightflow.data import Dataset, Protocol, Split, shapes, split
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.evaluation import check_scorable
from weightflow.experiment import ExperimentConfig, check_members, flatten, nest, prepares_as, preset
from weightflow.search.facts import data_parts, told_options
from weightflow.search.folder import CHECKPOINTS, STUDY
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.reading import check_same, claim, refuse_early_versions
from weightflow.search.study.samplers import check_sampler
from weightflow.search.study.study import Study
from weightflow.search.trials.deadline import Deadline
from weightflow.tracking import RunFacts, TrackingConfig, environment_facts

FIDELITY = ("training.epochs", "training.warm_share")  # trials are compared after the same epochs


@dataclass(frozen=True)
class Search:
    """What the user asked for."""

    dataset: Dataset
    protocol: Protocol
    space: Space
    tracking: TrackingConfig
    name: str
    out: Path
    seed: int
    options: SearchOptions
    resume: bool = False
    members: int = 0
    register: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def deadline(self) -> Deadline:
        """When all is to be over."""
        return Deadline.after(self.options.deadline, self.began)

    @property
    def folder(self) -> Path:
        """Where everything of this search is left."""
        return self.out.resolve() / self.name

    @property
    def cache(self) -> Path:
        """Where what was fitted is kept for later searches."""
        return self.out.resolve() / ".cache"

    @cached_property
    def shared_config(self) -> ExperimentConfig:
        """The configuration of the first trial, whose preparation comes first.

        Raises:
            InputError: the space searches how long trials train, by which they are compared.
        """
        for key in FIDELITY:
            if key in self.space.parameters:
                raise InputError(
                    f"`{key}` must be the same for all trials, so it cannot be searched; put it under `fixed`."
                )
        return self.preparing[0]

    @cached_property
    def asked(self) -> SearchOptions:
        """The options, which heeds what can be seen of the data."""
        return replace(self.options, shapes=shapes(self.parts.seen))

    @cached_property
    def preparing(self) -> tuple[ExperimentConfig, ...]:
        """One configuration for each preparation that is known before the search, in the order of their first trials.

        After those come the other preparations of the space, in its order.
        """
        space, default = self.space, flatten(preset("default"))
        points = [point for _, point in self.asked.first_points(space)]
        points += [space.nearest(default, name) for name in space.preparations]
        found: dict[str, ExperimentConfig] = {}
        for point in points:
            config = ExperimentConfig.parse(nest(space.configuration(point)))
            found.setdefault(prepares_as(config), config)
        return tuple(found.values())

    def beforehand(self, workers: int) -> tuple[ExperimentConfig, ...]:
        """Return those that are prepared before the first trial: the default's, and as many as no worker waits for."""
        return self.preparing[: min(max(1, workers // len(self.parts.folds)), self.options.trials)]

    @cached_property
    def parts(self) -> Split:
        """What is fitted, held out and scored."""
        return split(self.dataset, self.protocol, self.seed)

    def check(self) -> None:
        """Find out what cannot work before anything is started.

        Raises:
            InputError: data, protocol, space and options do not go together, or the folder is taken or missing.
        """
        check_members(self.members)
        check_scorable(self.parts)
        check_sampler(self.options, self.space)
        for config in (self.shared_config, *self.preparing):  # the first one has words for what is wrong with a space
            config.backbone.build(self.parts.seen, self.seed)
        if self.resume or self._taken():
            refuse_early_versions(self.folder)
        if self.resume and not (self.folder / STUDY).is_file():
            raise InputError(f"`{self.folder}` holds no search that could go on; start one with `--name {self.name}`.")
        if not self.resume and self._taken():
            raise InputError(
                f"`{self.folder}` exists already; choose another `--name`, or go on with `--resume {self.name}`."
            )
        with self._writing():
            if self.folder.is_dir():
                claim(self.folder).release()
            _try_to_write(self.folder)
        if self.resume:
            check_same(self.folder, self.identity)

    def _taken(self) -> bool:
        """Whether the folder holds anything but what a search begins with, which may have been killed just then."""
        try:
            return any(path.name not in {".lock", CHECKPOINTS} for path in self.folder.iterdir())
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return self.folder.exists()  # or else the folder above it is a file

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this search and no other."""
        snapshots = self.dataset.snapshots
        return {
            "data": {
                "digest": snapshots.digest(),
                "times": f"{len(snapshots)} from {written(snapshots.times[0])} to {written(snapshots.times[-1])}",
                "species": ", ".join(snapshots.species),
                "samples": sum(snapshots.sizes),
            },
            "protocol": str(self.parts.protocol),
            "seed": self.seed,
            "sampler": self.options.sampler.value,
            "scheduler": self.options.scheduler.value,
            "minimize": ",".join(self.options.criteria),
            "space": self.space.content(),
        }

    @property
    def facts(self) -> RunFacts:
        """What MLflow is told of it."""
        return RunFacts(
            name=self.name,
            data_name=self.dataset.name,
            data_hash=self.dataset.snapshots.digest(),
            protocol=str(self.parts.protocol),
            seed=self.seed,
            space_digest=self.space.digest(),
            facts=environment_facts(),
            description=f"{self.describe()}; {'; '.join(self.parts.in_words())}. {self.space.description}",
            options=told_options(self.asked, self.space, self.members),
            parts=data_parts(self.dataset, self.parts),
        )

    def describe(self) -> str:
        """Say in a sentence what is fitted and scored."""
        parts, folds = self.parts, self.parts.folds
        sizes = " or ".join(dict.fromkeys(str(len(fold.fit)) for fold in folds))
        return (
            f"{self.dataset.name}, protocol {parts.protocol}: {len(parts.seen)} seen snapshots, trials fitted to "
            f"{sizes}{'' if len(folds) == 1 else f' in {len(folds)} folds'}, score = {self._scored()}"
        )

    def _scored(self) -> str:
        """Say what trials are scored by."""
        parts = self.parts
        if parts.of_conditions:
            return f"the negative log-likelihood of {len(parts.folds)} left-out conditions, in the mean"
        return (
            f"half the negative log-likelihood of {len(parts.interior)} interior and half that of {len(parts.last)} "
            "last held-out snapshots"
        )

    @property
    def tests_floor(self) -> bool:
        """Whether finished trials are held against the sampling floor."""
        return self.options.stop_at_floor and not self.parts.of_conditions

    def open_study(self) -> Study:
        """Make the folder, and open the study in it.

        Raises:
            InputError: the folder cannot be made, or what is in it is another search.
        """
        training = self.shared_config.training
        with self._writing():
            (self.folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            return Study(
                self.folder,
                self.space,
                self.asked,
                training.epochs,
                training.grace_epochs,
                self.seed,
                self.identity,
                asdict(self.facts),
            )

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        """Name the folder where it cannot be written."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"`{self.folder}` cannot be written ({error.strerror}); choose a place that can with `--out`."
            ) from None


def _try_to_write(folder: Path) -> None:
    """Write into a folder, or into the nearest one above it that exists, and leave nothing.

    Raises:
        OSError: it cannot be written, or its disk is full.
    """
    place = next(path for path in (folder, *folder.parents) if path.exists())
    with tempfile.TemporaryDirectory(prefix=".weightflow-", dir=place) as scratch:
        Path(scratch, "try").write_bytes(bytes(4096))
