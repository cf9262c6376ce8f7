"""Exact stochastic simulation of reaction networks, by libRoadRunner's Gillespie integrator."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from weightflow.errors import InputError
from weightflow.rng import derive_seed
from weightflow.systems.document import Document
from weightflow.systems.library import System, find_system
from weightflow.systems.network import ARMED, COUNT, DUE, PAUSE, PAUSED, Network, build

# Between two reactions or recorded times the integrator holds rates still (libRoadRunner 2.8), or integrates them by
# their values at a few times, which a whole wave deceives (2.10). Where rates depend on time, models are therefore
# recorded, and looked at, this often within the time span: what turns more slowly than that is followed.
REFRESHES = 1000
ROUNDING = 1e-9  # of a number of molecules: the integrator may hold a concentration in its place
MAX_REACTIONS = 2_000_000  # in one trajectory: some seconds


def simulate(
    model: str | Path,
    trajectories: int,
    seed: int,
    times: ArrayLike | None = None,
    molecules_per_unit: float | None = None,
    max_reactions: int = MAX_REACTIONS,
) -> tuple[Float[np.ndarray, "trajectory time species"], tuple[str, ...]]:
    """Simulate independent trajectories of a built-in system, or of the user's own Antimony or SBML file.

    Args:
        model: a built-in name, or the path of an Antimony (.ant, .txt) or SBML (.xml, .sbml) file.
        trajectories: how many; each starts at time 0 in the model's initial state.
        seed: the same seed gives the same trajectories.
        times: when the state is recorded, from 0 on and increasing; None: the system's own times.
        molecules_per_unit: for models in moles or concentrations: how many molecules are one unit of substance.
        max_reactions: of one trajectory; one that has more is an error.

    Returns:
        numbers of molecules, and the names of the species.

    Raises:
        InputError: as for `Simulator` and its `run`, or the model cannot be found.
    """
    simulator = Simulator(find_system(model), molecules_per_unit)
    return simulator.run(trajectories, seed, times, max_reactions=max_reactions), simulator.species


class Simulator:
    """A compiled reaction network.

    Every species must hold whole numbers of molecules, and rates must not be negative. A reaction happens only where
    all its reactants are there; a reversible one at a net rate is simulated as its two directions.

    Args:
        system: the text of a model.
        molecules_per_unit: for models in moles or concentrations: how many molecules are one unit of substance. A law
            r(amounts) becomes X r(numbers / X), whatever its form; volumes, parameters and time stay as they are, and
            k A A does not become k A (A - 1), see `molecules`.
        values: of parameters, and of what species start with, in the place of those in the text.

    Attributes:
        species: names of the species, in the order of the model's text.

    Raises:
        InputError: libRoadRunner is not installed, the text is not a valid model of reactions, or it asks for what
            cannot be followed exactly.
    """

    def __init__(
        self, system: System, molecules_per_unit: float | None = None, values: Mapping[str, float] | None = None
    ) -> None:
        self.system = system
        self._network = build(
            _with_values(_sbml_of(system), system.name, values or {}), system.name, molecules_per_unit
        )
        self._runner = _compile(self._network, system.name)
        self.species = self._network.species
        self._reactions = self._network.reactions
        # The bare name of a species stands for its amount, and of a reaction for its rate.
        self._runner.timeCourseSelections = [*self.species, *self._reactions, COUNT]

    def run(
        self,
        trajectories: int,
        seed: int,
        times: ArrayLike | None = None,
        watch: Callable[[int], None] = lambda _: None,
        max_reactions: int = MAX_REACTIONS,
    ) -> Float[np.ndarray, "trajectory time species"]:
        """Simulate independent runs, recorded at `times`.

        All come from one stream of random numbers: more trajectories of one seed begin with the same ones.

        Args:
            trajectories: how many.
            seed: the same seed gives the same trajectories.
            times: when the state is recorded; None: the system's own times.
            watch: told after each trajectory how many there are.
            max_reactions: of one trajectory.

        Raises:
            InputError: no trajectory or no time is asked for, the times are negative or do not increase, a species
                becomes negative or fractional, a rate negative or not finite, or there are too many reactions.
        """
        wanted = self._times(times)
        if trajectories < 1:
            raise InputError(f"{trajectories} trajectories were asked for; ask for at least one.")
        stop = float(wanted[-1]) or 1.0  # the integrator wants two times at least
        switches = np.array(self._network.switches(stop))
        grid = self._recorded(wanted, switches, stop)
        # What happens at a time is seen right after it.
        kept = np.searchsorted(grid, np.where(np.isin(wanted, switches), np.nextafter(wanted, np.inf), wanted))
        stretches = np.split(grid, np.searchsorted(grid, switches))
        # One seed for the whole ensemble: a reset starts the next trajectory, not the generator, which takes 32 bits.
        self._runner.getIntegrator().setValue("seed", derive_seed(seed, "simulate") % 2**32)
        samples = np.empty((trajectories, len(wanted), len(self.species)))
        for number, sample in enumerate(samples, start=1):
            sample[:] = self._trajectory(stretches, max_reactions)[kept]
            watch(number)
        return samples

    def _trajectory(
        self, stretches: list[Float[np.ndarray, "_"]], max_reactions: int
    ) -> Float[np.ndarray, "more species"]:
        """Simulate one run from switch to switch; each stretch of times begins with one, where the last one ends."""
        self._runner.resetAll()  # what events have set, too
        left, rows = max_reactions, []
        for number, (stretch, later) in enumerate(zip(stretches, [*stretches[1:], None], strict=True)):
            self._set_marks(number, float(stretch[0]))
            times = stretch if later is None else np.append(stretch, later[0])
            found, left = self._stretch(times, left)
            rows.append(found[: len(stretch)])
        return np.concatenate(rows)[:, : len(self.species)]

    def _set_marks(self, number: int, time: float) -> None:
        marks = self._network.marks
        if self._network.eventful:
            self._runner[DUE] = ARMED + number
        for name, holds in zip(marks.names, marks.values(time), strict=True):
            self._runner[name] = holds

    def _stretch(self, times: Float[np.ndarray, "some"], left: int) -> tuple[Float[np.ndarray, "some column"], int]:
        """Simulate in as many calls as there are reactions for; between calls, Python answers Ctrl-C.

        Returns:
            the recorded rows, and how many reactions the trajectory has left.
        """
        found = rows = self._rows(times)
        while found[-1, -1] >= PAUSE:
            left -= PAUSE
            now = float(self._runner[PAUSED])
            if left <= 0:
                raise InputError(
                    f"a trajectory of model `{self.system.name}` has too many reactions, by time {now:g} already; "
                    "where that is no explosion, allow more with `--max-reactions` (`max_reactions` in Python), or "
                    "simulate a shorter time."
                )
            later = times > now
            self._runner[COUNT] = 0
            found = self._rows(np.concatenate([[now], times[later]]))
            rows[later] = found[1:]
        return rows, left

    def _rows(self, times: Float[np.ndarray, "more"]) -> Float[np.ndarray, "more column"]:
        rows = np.array(self._runner.simulate(times=times.tolist()))
        states, rates, _ = np.split(rows, [len(self.species), -1], axis=1)
        rows[:, : len(self.species)] = self._whole(states, rates)
        return rows

    def _times(self, times: ArrayLike | None) -> Float[np.ndarray, "time"]:
        wanted = np.asarray(self.system.times if times is None else times, dtype=np.float64)
        if not wanted.size and not self.system.times.size:
            raise InputError(
                f"`{self.system.name}` is your own model: say at which times it is observed, such as "
                "`--times 0:50:0.5`."
            )
        if wanted.ndim != 1 or not len(wanted) or not np.isfinite(wanted).all() or (np.diff(wanted) <= 0).any():
            raise InputError("simulated times must be finite and strictly increase, one at least, such as 0:50:0.5.")
        if wanted[0] < 0:
            raise InputError(
                f"simulated times start at {wanted[0]:g}, but a simulation starts at 0; give times from 0 on."
            )
        return wanted

    def _recorded(
        self, wanted: Float[np.ndarray, "time"], switches: Float[np.ndarray, "switch"], stop: float
    ) -> Float[np.ndarray, "more"]:
        """Add time 0, where every run starts, switches, and the times at which the rates are looked at again."""
        looked = np.linspace(0.0, stop, REFRESHES + 1 if self._network.curved else 2)
        return np.unique(np.concatenate([wanted, looked, switches, np.nextafter(switches, np.inf)]))

    def _whole(
        self, states: Float[np.ndarray, "more species"], rates: Float[np.ndarray, "more reaction"]
    ) -> Float[np.ndarray, "more species"]:
        """Return the states without rounding errors, if they and the rates are possible."""
        whole = np.rint(states)
        wrong = ~((whole >= 0) & (np.abs(states - whole) <= ROUNDING * np.maximum(1, whole)))  # nan is wrong, too
        if wrong.any():
            row, species = np.argwhere(wrong)[0]
            raise InputError(
                f"species `{self.species[species]}` of model `{self.system.name}` reaches {states[row, species]:g}, "
                "but a number of molecules is whole and not negative; start it at a whole amount. Where amounts are "
                "concentrations or moles, scale them: `--molecules-per-unit X` (`molecules_per_unit=X` in Python) "
                "takes X molecules for one unit of substance, so that 0.1 units at X = 1000 are 100 molecules."
            )
        if not np.isfinite(rates).all():
            row, reaction = np.argwhere(~np.isfinite(rates))[0]
            raise InputError(_not_finite(self._reactions[reaction], self.system.name, float(rates[row, reaction])))
        if (rates < 0).any():
            row, reaction = np.argwhere(rates < 0)[0]
            raise InputError(
                f"the rate of reaction `{self._reactions[reaction]}` of model `{self.system.name}` reaches "
                f"{rates[row, reaction]:g}, but a rate is not negative; write each direction as a reaction of its own, "
                "since a net rate has another law."
            )
        return whole


def _sbml_of(system: System) -> str:
    old = system.sbml and re.search(r"<(?:\w+:)?sbml\b[^>]*\blevel=[\"']1", system.text)
    if system.sbml and not old:
        return system.text
    antimony = _library("antimony")
    antimony.clearPreviousLoads()
    read = antimony.loadSBMLString if old else antimony.loadAntimonyString
    if read(system.text) < 0:
        reason = " ".join(antimony.getLastError().split()).split(" Reference: ")[0]  # the first error is enough
        language = "SBML" if old else "Antimony"
        raise InputError(f"model `{system.name}` is not valid {language}: {reason}")
    return str(antimony.getSBMLString(antimony.getMainModuleName()))


def _with_values(sbml: str, name: str, values: Mapping[str, float]) -> str:
    if not values:
        return sbml
    document = Document(sbml, name)
    for parameter, value in values.items():
        document.set_value(parameter, value)
    return document.text()


def _compile(network: Network, name: str) -> Any:
    try:
        runner = _library("roadrunner").RoadRunner(network.text)
        runner.setIntegrator("gillespie")
    except RuntimeError as error:
        reason = " ".join(str(error).split(", at ")[0].split())  # without the place in libRoadRunner's own code
        raise InputError(f"model `{name}` cannot be compiled: {reason}") from None
    rates = runner.model.getReactionRates()
    if not np.isfinite(rates).all():
        reaction = int(np.flatnonzero(~np.isfinite(rates))[0])
        raise InputError(_not_finite(str(runner.model.getReactionIds()[reaction]), name, rates[reaction]))
    runner.getIntegrator().setValue("variable_step_size", False)  # record at the times that are asked for
    return runner


def _not_finite(reaction: str, model: str, rate: float) -> str:
    return (
        f"the rate of reaction `{reaction}` of model `{model}` reaches {rate:g}, but a rate is a finite number; guard "
        "it where it divides by zero, as in `piecewise(k / A, A > 0, 0)`."
    )


def _library(name: str) -> Any:
    """Import antimony or roadrunner, which are optional; no other place does."""
    try:
        return import_module(name)
    except ImportError:
        raise InputError(
            f"simulating needs the library `{name}`, which is not installed; run: pip install 'weightflow[simulate]'."
        ) from None
