"""Optuna's samplers by name."""

import warnings

import optuna
from optuna.samplers import BaseSampler

from weightflow.errors import InputError
from weightflow.rng import derive_seed
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.trials import SamplerName

STARTUP_TRIALS = 8  # random ones, before a sampler's model has something to go by
ONE_CRITERION = {SamplerName.CMAES}
LOOK_AT_MANY = {SamplerName.TPE, SamplerName.GP}  # whose time grows with the trials that they look at


def make_sampler(name: SamplerName, seed: int, stream: int) -> BaseSampler:
    """Return a sampler; those of other streams draw other numbers."""
    drawn = derive_seed(seed, "sampler", stream) % 2**32
    samplers = optuna.samplers
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        match name:
            case SamplerName.TPE:
                return samplers.TPESampler(
                    seed=drawn, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS
                )
            case SamplerName.GP:
                return samplers.GPSampler(seed=drawn, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False)
            case SamplerName.CMAES:
                return samplers.CmaEsSampler(
                    seed=drawn, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False
                )
            case SamplerName.NSGA2:
                return samplers.NSGAIISampler(seed=drawn, population_size=STARTUP_TRIALS)
            case SamplerName.RANDOM:
                return samplers.RandomSampler(seed=drawn)
            case SamplerName.GRID:
                return samplers.BruteForceSampler(seed=drawn)


def check_sampler(options: SearchOptions, space: Space) -> None:
    """Find out whether the sampler can do what is asked.

    Raises:
        InputError: it cannot.
    """
    if options.several and options.sampler in ONE_CRITERION:
        raise InputError(
            f"`--sampler {options.sampler.value}` minimises one criterion, but `--minimize` names "
            f"{', '.join(options.criteria)}; choose tpe, gp or nsga2."
        )
    if options.sampler is SamplerName.GRID:
        next(space.points())
