"""WeightFlow: the distribution of a stochastic system at every time, learned from snapshots."""

from importlib import import_module
from typing import TYPE_CHECKING

from weightflow.version import VERSION

if TYPE_CHECKING:
    from weightflow.data import Dataset, Protocol, Snapshots, read, split
    from weightflow.errors import InputError, WeightFlowError
    from weightflow.experiment import ExperimentConfig, preset
    from weightflow.experiment import fit_model as fit
    from weightflow.model import WeightFlow, load
    from weightflow.search.request import tune
    from weightflow.search.result import SearchResult
    from weightflow.types import Kind

__version__ = VERSION

__all__ = [
    "Dataset",
    "ExperimentConfig",
    "InputError",
    "Kind",
    "Protocol",
    "SearchResult",
    "Snapshots",
    "WeightFlow",
    "WeightFlowError",
    "fit",
    "load",
    "preset",
    "read",
    "split",
    "tune",
]

_HOMES = {
    "Dataset": ("weightflow.data", "Dataset"),
    "ExperimentConfig": ("weightflow.experiment", "ExperimentConfig"),
    "InputError": ("weightflow.errors", "InputError"),
    "Kind": ("weightflow.types", "Kind"),
    "SearchResult": ("weightflow.search.result", "SearchResult"),
    "Protocol": ("weightflow.data", "Protocol"),
    "Snapshots": ("weightflow.data", "Snapshots"),
    "WeightFlow": ("weightflow.model", "WeightFlow"),
    "WeightFlowError": ("weightflow.errors", "WeightFlowError"),
    "fit": ("weightflow.experiment", "fit_model"),
    "load": ("weightflow.model", "load"),
    "preset": ("weightflow.experiment", "preset"),
    "read": ("weightflow.data", "read"),
    "split": ("weightflow.data", "split"),
    "tune": ("weightflow.search.request", "tune"),
}

# Each name is imported when it is asked for (PEP 562), since importing torch takes longer than many a simulation.
# Type checkers read the imports above instead: in a module with `__getattr__` no name would be wrong to them.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, own_name = _HOMES[name]
        return getattr(import_module(module), own_name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
