"""Optuna's samplers and pruners by name."""

import warnings

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler

from weightflow.errors import InputError
from weightflow.rng import derive_seed
from weightflow.search.plan import Plan
from weightflow.search.space import Space
from weightflow.trials import SamplerName, SchedulerName

STARTUP_TRIALS = 8  # random ones, before a sampler's model has something to go by
REDUCTION = 2  # of the trials at a rung, one in so many goes on
ONE_CRITERION = {SamplerName.CMAES}


def make_sampler(name: SamplerName, seed: int, runs: int) -> BaseSampler:
    """Return a sampler; each process that goes on with a search draws other numbers."""
    drawn = derive_seed(seed, "sampler", runs) % 2**32
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


def make_pruner(name: SchedulerName, grace: int, epochs: int) -> BasePruner:
    """Return a pruner by epochs: asynchronous successive halving (Li et al. 2020), Hyperband (Li et al. 2018), none."""
    match name:
        case SchedulerName.ASHA:
            return SuccessiveHalvingPruner(min_resource=grace, reduction_factor=REDUCTION)
        case SchedulerName.HYPERBAND:
            return HyperbandPruner(min_resource=grace, max_resource=epochs, reduction_factor=REDUCTION)
        case SchedulerName.NONE:
            return NopPruner()


def check_sampler(plan: Plan, space: Space) -> None:
    """Find out whether the sampler can do what is asked.

    Raises:
        InputError: it cannot.
    """
    if plan.several and plan.sampler in ONE_CRITERION:
        raise InputError(
            f"`--sampler {plan.sampler.value}` minimises one criterion, but `--minimize` names "
            f"{', '.join(plan.criteria)}; choose tpe, gp or nsga2."
        )
    if plan.sampler is SamplerName.GRID:
        next(space.points())
