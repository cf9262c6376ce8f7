"""Options that several commands take."""

from typing import Annotated

import typer

from weightflow.types import HeadKind

HEAD = "backbone.head"
HeadOfCounts = Annotated[
    HeadKind | None, typer.Option(help="How counts are described; auto: softmax for fewer than 8 states.")
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N", help="Where to compute; N is the number of a GPU.")]
