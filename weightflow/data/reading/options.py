"""What a user may say about a file; all that is not said is found out, and told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np

from weightflow.data.conditions import Scale, known_scale
from weightflow.data.words import listed
from weightflow.errors import InputError
from weightflow.types import Kind


class Missing(StrEnum):
    """What becomes of missing values."""

    REFUSE = "refuse"
    DROP = "drop"
    ZERO = "zero"


@dataclass(frozen=True)
class ReadOptions:
    """How a file is to be read. Each attribute is an option of the command line and an argument of `weightflow.read`.

    `ReadOptions.of` takes what people write, such as "A,B" for names; the attributes hold what that means.

    Attributes:
        time: the column (of a table, or of an AnnData's `obs`) or the array (of an .npz) that holds the times; without
            it a name such as time, day or hours decides, where there is exactly one.
        species: the columns to fit, in this order; all others are left out.
        drop: columns to leave out.
        where: pairs (column, value): rows of other values are left out. Several values of one column are all kept. The
            columns are no species.
        unit: the column that says which unit (cage, well, trajectory) a row was measured on. Rows of one unit are never
            parted into fitted and scored ones.
        missing: `refuse`; `drop` leaves out rows (of arrays: trajectories) with a missing value; `zero` reads it as 0.
        kind: of all species, or pairs (species, kind); else species of whole numbers are counts.
        use_rep: key of an AnnData's `obsm`, such as X_pca.
        layer: key of an AnnData's `layers`; else its X.
        genes: of an AnnData, by the names of its `var`.
        pca: number of principal components to take instead of the species, fitted to the seen times alone.
        sep: what separates the columns of a text file: one character, `tab` or `space`.
        decimal: the decimal mark of a text file, `.` or `,`.
        encoding: of a text file, such as utf-8 or latin-1.
        every: every n-th time is seen. By default all are; of trajectories every tenth, every second of fewer than 31
            times, and all of fewer than ten.
        step: time between two columns of .npy trajectories, 1 by default.
        conditions: pairs (column, scale) of the covariates that say under which condition a row was observed; the scale
            is None where the values are to say it. People write `dose,temperature` or `dose:log,genotype:category`.
        shared_start: whether all conditions have the same start: rows of the earliest time are then one sample, which
            stands at the start of each.
    """

    time: str | None = None
    species: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    unit: str | None = None
    missing: Missing = Missing.REFUSE
    kind: Kind | tuple[tuple[str, Kind], ...] | None = None
    use_rep: str | None = None
    layer: str | None = None
    genes: tuple[str, ...] = ()
    pca: int | None = None
    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    every: int | None = None
    step: float | None = None
    conditions: tuple[tuple[str, Scale | None], ...] = ()
    shared_start: bool = False

    def __post_init__(self) -> None:
        if self.step is not None and not (np.isfinite(self.step) and self.step > 0):
            raise InputError(f"`--step {self.step:g}` was given; the time step must be above 0.")
        if self.every is not None and self.every < 1:
            raise InputError(f"`--every {self.every}` was given; it must be 1 (all times are seen) or more.")
        if self.pca is not None and self.pca < 1:
            raise InputError(f"`--pca {self.pca}` was given; it must be 1 component or more.")
        if self.sep is not None and len(self.sep) != 1:
            raise InputError(f"`--sep {self.sep}` was given; it must be one character, `tab` or `space`.")
        if self.decimal not in {None, ".", ","}:
            raise InputError(f"`--decimal {self.decimal}` was given; a decimal mark is `.` or `,`.")
        if self.decimal is not None and self.decimal == self.sep:
            raise InputError(f"`--sep {self.sep}` and `--decimal {self.decimal}` are the same; they must differ.")
        both = set(self.species) & set(self.drop)
        if both:
            raise InputError(f"`{min(both)}` stands in `--species` and in `--drop`; leave it out of one.")
        taken = {*self.species, *self.drop, self.time, self.unit} & {*self.covariates}
        if taken:
            raise InputError(
                f"`{min(map(str, taken))}` is one of `--conditions`, and nothing else; name it only there."
            )
        if self.shared_start and not self.conditions:
            raise InputError("`--shared-start` is for `--conditions`, of which none are given; leave it out.")

    @classmethod
    def of(cls, **said: Any) -> "ReadOptions":
        """Understand options as people write them; None stands for an option that is not given.

        Raises:
            InputError: an option is unknown, or its value cannot be meant.
        """
        known = {field.name for field in fields(cls)}
        unknown = [name for name in said if name not in known]
        if unknown:
            raise InputError(f"there is no reading option `{unknown[0]}`; known are {', '.join(sorted(known))}.")
        forms: dict[str, Callable[[Any], Any]] = {
            "species": lambda names: _names("species", names),
            "drop": lambda names: _names("drop", names),
            "genes": lambda names: _names("genes", names),
            "where": _pairs,
            "missing": _missing,
            "kind": _kinds,
            "conditions": _conditions,
            "sep": lambda sep: {"tab": "\t", "\\t": "\t", "space": " "}.get(sep, sep),
        }
        values: dict[str, Any] = {
            name: forms.get(name, _as_it_is)(value) for name, value in said.items() if value is not None
        }
        return cls(**values)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates."""
        return tuple(name for name, _ in self.conditions)

    @property
    def scales(self) -> dict[str, Scale]:
        """Scales of the covariates whose values are not to say it."""
        return {name: scale for name, scale in self.conditions if scale is not None}

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that differ from their default."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)

    def only(self, allowed: Sequence[str], what: str) -> None:
        """Refuse options that mean nothing for what is read.

        Raises:
            InputError: one is given that is not `allowed`; `what` says for what, such as "a .csv file".
        """
        for name in self.given:
            if name not in allowed:
                raise InputError(f"`{flag(name)}` means nothing for {what}; leave it out.")

    def kinds_of(self, species: Sequence[str], guessed: Sequence[Kind]) -> tuple[Kind, ...]:
        """Return the kind of each species: as given, else as guessed.

        Raises:
            InputError: a kind is given for a species that does not exist.
        """
        if isinstance(self.kind, Kind):
            return (self.kind,) * len(species)
        given = dict(self.kind or ())
        for name, kind in given.items():
            if name not in species:
                raise InputError(f"`--kind {name}={kind}` names no species; they are {listed(species)}.")
        return tuple(given.get(name, kind) for name, kind in zip(species, guessed, strict=True))


def flag(name: str) -> str:
    """Return an option as it is written on the command line."""
    return f"--{name.replace('_', '-')}"


def _as_it_is(value: Any) -> Any:
    return value


def _names(option: str, value: str | Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(map(str, value))
    names = [name for name in names if name]
    twins = [name for i, name in enumerate(names) if name in names[:i]]
    if twins:
        raise InputError(f"`{twins[0]}` is named twice in `--{option}`; name each once.")
    return tuple(names)


def _conditions(value: str | Sequence[str] | Mapping[str, str]) -> tuple[tuple[str, Scale | None], ...]:
    if isinstance(value, Mapping):
        return tuple((str(name), known_scale(str(name), scale)) for name, scale in value.items())
    said = [text.rpartition(":") for text in _names("conditions", value)]
    pairs = [
        (name, Scale(scale)) if name and scale in set(Scale) else (name + colon + scale, None)
        for name, colon, scale in said
    ]
    _names("conditions", [name for name, _ in pairs])
    return tuple(pairs)


def _pairs(value: str | Sequence[str] | Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if isinstance(value, Mapping):
        return tuple((str(column), str(wanted)) for column, wanted in value.items())
    texts = [value] if isinstance(value, str) else list(value)
    for text in texts:
        if "=" not in text.strip("="):
            raise InputError(f"`--where {text}` cannot be read; write a column and its value, such as 'dose=0.2'.")
    return tuple((column.strip(), wanted.strip()) for column, _, wanted in (text.partition("=") for text in texts))


def _missing(value: str) -> Missing:
    if value not in set(Missing):
        raise InputError(f"`--missing {value}` is not known; write {', '.join(Missing)}.")
    return Missing(value)


def _kinds(value: str | Mapping[str, str]) -> Kind | tuple[tuple[str, Kind], ...] | None:
    if isinstance(value, str) and "=" not in value:
        return _kind(value)
    parts = value.items() if isinstance(value, Mapping) else _pairs([p for p in value.split(",") if p.strip()])
    return tuple((name, _kind(kind)) for name, kind in parts) or None


def _kind(value: str) -> Kind:
    if value not in set(Kind):
        raise InputError(
            f"`--kind {value}` is not known; a species is of kind {' or '.join(Kind)}: write one for all, or one for "
            "each as in A=counts,B=continuous."
        )
    return Kind(value)
