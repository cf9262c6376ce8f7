"""Samples at some times with names, kinds and units, and the tables that other programs read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from weightflow.errors import InputError
from weightflow.types import Kind

if TYPE_CHECKING:
    import anndata
    import pandas

COLUMNS = ("time", "draw")  # of a long table, before those of the species


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples that a model drew.

    Attributes:
        times: in the data's units.
        samples: so many at each time.
        species: their names.
        kinds: counts stand as whole numbers in tables.
        unit: of the times; empty where none is known.
    """

    times: Float[np.ndarray, "time"]
    samples: Float[np.ndarray, "time draw dim"]
    species: tuple[str, ...]
    kinds: tuple[Kind, ...]
    unit: str = ""

    def frame(self) -> "pandas.DataFrame":
        """Return the long table: `time`, `draw` and a column for each species; `attrs` has the `time_unit`.

        Raises:
            InputError: a species has the name of one of the first two columns.
        """
        import pandas as pd

        taken = [name for name in self.species if name in COLUMNS]
        if taken:
            raise InputError(
                f"a species is called `{taken[0]}`, as a column of the table is; write .npy or .npz, or rename it."
            )
        values = self.samples.reshape(-1, len(self.species))
        columns = {
            name: values[:, i].astype(np.int64) if kind is Kind.COUNTS else values[:, i]
            for i, (name, kind) in enumerate(zip(self.species, self.kinds, strict=True))
        }
        table = pd.DataFrame({**self._places(), **columns})
        table.attrs["time_unit"] = self.unit
        return table

    def anndata(self) -> "anndata.AnnData":
        """Return an AnnData: one observation for each time and draw, whose `obs` says which; one variable a species.

        `var["kind"]` says what the values are, and `uns["time_unit"]` what the times are in.

        Raises:
            InputError: the library anndata is not installed.
        """
        try:
            from anndata import AnnData
        except ImportError:
            raise InputError("AnnData needs the library anndata; pip install 'weightflow[anndata]'.") from None
        import pandas as pd

        values = self.samples.reshape(-1, len(self.species))
        obs = pd.DataFrame(self._places(), index=[str(i) for i in range(len(values))])
        var = pd.DataFrame({"kind": [kind.value for kind in self.kinds]}, index=list(self.species))
        return AnnData(X=values, obs=obs, var=var, uns={"time_unit": self.unit})

    def _places(self) -> dict[str, np.ndarray]:
        n_times, n_draws = self.samples.shape[:2]
        return {"time": np.repeat(self.times, n_draws), "draw": np.tile(np.arange(n_draws), n_times)}
