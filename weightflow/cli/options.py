"""Options that several commands take."""

from typing import Annotated

import typer

from weightflow.types import HeadKind, Kind

HEAD = "backbone.head"
Step = Annotated[float | None, typer.Option(help="Time step of .npy trajectories (1 by default).")]
Every = Annotated[int | None, typer.Option(help="Every n-th time is seen: 10 by default, 2 for fewer than 31 times.")]
HeadOfCounts = Annotated[
    HeadKind | None, typer.Option(help="How counts are described; auto: softmax for fewer than 8 states.")
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N", help="Where to compute; N is the number of a GPU.")]
ValueKind = Annotated[Kind | None, typer.Option(help="Kind of the values; whole numbers are counts by default.")]
