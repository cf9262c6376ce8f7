"""Exact stochastic simulation of reaction networks, by libRoadRunner's Gillespie integrator."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from weightflow.errors import InputError
from weightflow.rng import derive_seed
from weightflow.systems.library import System, find_system

# The integrator looks at the rates again only after a reaction and at a recorded time. Where rates depend on time
# they would stand still in between, so such models are also recorded, and looked at, this often within the time span.
REFRESHES = 1000
TIME_SYMBOL = "http://www.sbml.org/sbml/symbols/time"


def simulate(
    model: str | Path, trajectories: int, seed: int, times: ArrayLike | None = None
) -> tuple[Float[np.ndarray, "trajectory time species"], tuple[str, ...]]:
    """Simulate independent trajectories of a built-in system, or of the user's own Antimony or SBML file.

    Args:
        model: a built-in name, or the path of an Antimony (.ant, .txt) or SBML (.xml, .sbml) file.
        trajectories: how many; each starts at time 0 in the model's initial state.
        seed: the same seed gives the same trajectories.
        times: when the state is recorded, from 0 on and increasing; None: the system's own times.

    Returns:
        numbers of molecules, and the names of the species.

    Raises:
        InputError: as for `Simulator` and its `run`, or the model cannot be found.
    """
    simulator = Simulator(find_system(model))
    return simulator.run(trajectories, seed, times), simulator.species


class Simulator:
    """A compiled reaction network.

    Every species must hold whole numbers of molecules, and rates must not be negative.

    Attributes:
        species: names of the species, in the order of the model's text.

    Raises:
        InputError: libRoadRunner is not installed, or the text is not a valid model of reactions.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        sbml = system.text if system.sbml else _sbml_of(system)
        self._runner = _compile(sbml, system.name)
        self._needs_refresh = TIME_SYMBOL in sbml
        self.species = tuple(str(name) for name in self._runner.model.getFloatingSpeciesIds())
        self._reactions = tuple(str(name) for name in self._runner.model.getReactionIds())
        # The bare name of a species stands for its amount, and of a reaction for its rate.
        self._runner.timeCourseSelections = [*self.species, *self._reactions]

    def run(
        self,
        trajectories: int,
        seed: int,
        times: ArrayLike | None = None,
        watch: Callable[[int], None] = lambda _: None,
    ) -> Float[np.ndarray, "trajectory time species"]:
        """Simulate independent runs, recorded at `times`.

        All come from one stream of random numbers: more trajectories of one seed begin with the same ones.

        Args:
            trajectories: how many.
            seed: the same seed gives the same trajectories.
            times: when the state is recorded; None: the system's own times.
            watch: told after each trajectory how many there are.

        Raises:
            InputError: no trajectory or no time is asked for, the times are negative or do not increase, a species
                becomes negative or fractional, or a rate negative or not finite.
        """
        wanted = self._times(times)
        if trajectories < 1:
            raise InputError(f"{trajectories} trajectories were asked for; ask for at least one.")
        grid = self._recorded(wanted)
        kept = np.searchsorted(grid, wanted)
        # One seed for the whole ensemble: a reset starts the next trajectory, not the generator, which takes 32 bits.
        self._runner.getIntegrator().setValue("seed", derive_seed(seed, "simulate") % 2**32)
        samples = np.empty((trajectories, len(wanted), len(self.species)))
        for number, sample in enumerate(samples, start=1):
            self._runner.reset()
            states, rates = np.split(
                np.asarray(self._runner.simulate(times=grid.tolist())), [len(self.species)], axis=1
            )
            self._check(states, rates)
            sample[:] = states[kept]
            watch(number)
        return samples

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

    def _recorded(self, wanted: Float[np.ndarray, "time"]) -> Float[np.ndarray, "more"]:
        """Add time 0, where every run starts, and the times at which the rates are looked at again."""
        stop = wanted[-1] or 1.0  # the integrator wants two times at least
        return np.union1d(wanted, np.linspace(0.0, stop, REFRESHES + 1 if self._needs_refresh else 2))

    def _check(self, states: Float[np.ndarray, "more species"], rates: Float[np.ndarray, "more reaction"]) -> None:
        wrong = (states < 0) | (states != np.rint(states))
        if wrong.any():
            row, species = np.argwhere(wrong)[0]
            raise InputError(
                f"species `{self.species[species]}` of model `{self.system.name}` reaches {states[row, species]:g}, "
                "but a number of molecules is whole and not negative; start it at a whole amount, and let the rate of "
                "each reaction vanish when what it consumes is used up."
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


def _sbml_of(system: System) -> str:
    antimony = _library("antimony")
    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(system.text) < 0:
        raise InputError(f"model `{system.name}` is not valid Antimony: {' '.join(antimony.getLastError().split())}")
    return str(antimony.getSBMLString(antimony.getMainModuleName()))


def _compile(sbml: str, name: str) -> Any:
    # Any other text would be taken for the address of a file.
    if not re.search(r"<(?:\w+:)?sbml\b", sbml):
        raise InputError(f"model `{name}` is not SBML, since it has no <sbml> element; give the file of a model.")
    try:
        runner = _library("roadrunner").RoadRunner(sbml)
        runner.setIntegrator("gillespie")
    except RuntimeError as error:
        reason = " ".join(str(error).split(", at ")[0].split())  # without the place in libRoadRunner's own code
        raise InputError(f"model `{name}` cannot be compiled: {reason}") from None
    _check_reactions(runner.model, sbml, name)
    runner.getIntegrator().setValue("variable_step_size", False)  # record at the times that are asked for
    return runner


def _check_reactions(model: Any, sbml: str, name: str) -> None:
    """Refuse what the integrator would follow wrongly, or never come back from."""
    if not model.getNumFloatingSpecies() or not model.getNumReactions():
        raise InputError(
            f"model `{name}` has no species that reactions change; write at least one species and reaction."
        )
    if len(re.findall(r"<(?:\w+:)?kineticLaw\b", sbml)) < model.getNumReactions():
        raise InputError(
            f"model `{name}` has a reaction without a rate; write the rate of each, as in `A -> B; k * A`."
        )
    if model.getNumRateRules():
        raise InputError(
            f"model `{name}` has rate rules, which the Gillespie algorithm cannot follow; write them as reactions "
            "or as functions of `time`."
        )
    if model.getNumEvents() and (TIME_SYMBOL in sbml or re.search(r"<(?:\w+:)?delay\b", sbml)):
        raise InputError(
            f"model `{name}` has events beside `time` or delays, which the Gillespie algorithm would notice too late; "
            "let events depend on species alone, and write what depends on `time` as a rate."
        )
    rates = model.getReactionRates()
    if not np.isfinite(rates).all():
        reaction = int(np.flatnonzero(~np.isfinite(rates))[0])
        raise InputError(_not_finite(str(model.getReactionIds()[reaction]), name, rates[reaction]))


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
