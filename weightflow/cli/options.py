"""Options that several commands take."""

from typing import Annotated

import typer

from weightflow.presets import PRESETS
from weightflow.types import HeadKind

# Groups of options, as --help shows them.
SEARCH, BUDGET, MACHINE, RESULTS = "Search", "Budget", "Machine", "Results"
READING, MODEL = "How a file is read", "Model"
HEAD, HORIZON = "backbone.head", "bridge.horizon"
HeadOfCounts = Annotated[
    HeadKind | None,
    typer.Option(help="How counts are described; auto: softmax for fewer than 8 states.", rich_help_panel=MODEL),
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N", help="Where to compute; N is the number of a GPU.")]
Data = Annotated[str, typer.Option(help="A built-in system, a file, or s3://BUCKET/FILE.")]
Preset = Annotated[
    str, typer.Option("--preset", metavar="NAME", help=f"What --config starts from: {' or '.join(PRESETS)}.")
]
Seed = Annotated[int, typer.Option(min=0, help="Rules all random numbers.")]
Members = Annotated[
    int,
    typer.Option(
        min=0, metavar="K", help="Fits to resampled units, which give bands, such as 10.", rich_help_panel=MODEL
    ),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register",
        help="Make the model a version in MLflow's registry whatever its scores are.",
        rich_help_panel=RESULTS,
    ),
]
Horizon = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="T",
        help="Time beyond the last snapshot that a drift's forecasts are taught, in the data's unit; 0: none [default: "
        "a third of the span].",
        rich_help_panel=MODEL,
    ),
]
