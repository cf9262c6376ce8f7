"""The learned distribution: samples, log-density and weights at any time, in the data's own units.

A model of several conditions is a model of each of them: `under` returns that one, and whatever is asked `at` a
condition is asked of it.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import Backbone
from weightflow.bridge import Pace
from weightflow.card import Carded, Facts
from weightflow.data import Conditions, Dataset, Point, Snapshots, Value
from weightflow.data.words import written
from weightflow.device import find_device
from weightflow.drift import Drift, Varied
from weightflow.dynamics import Direct, Rollout, Under
from weightflow.errors import ExtrapolationWarning, InputError
from weightflow.model import files
from weightflow.model.asked import Asked, Numbers, array_of, check_draws
from weightflow.model.bands import Band, band, clipped
from weightflow.model.draws import Draws
from weightflow.model.engine import AnyPath, Engine
from weightflow.model.given import Given, resampled
from weightflow.model.gradient import gradient
from weightflow.model.inference import Prior, infer
from weightflow.model.marginals import drawn_marginals, exact_marginals, listable
from weightflow.model.standing import forecasts_in_words, in_words
from weightflow.model.statistics import Moments, levels, moments, sample_quantiles
from weightflow.path import Clock
from weightflow.torch_rng import quasi_uniforms, torch_generator, uniforms
from weightflow.types import Kind

if TYPE_CHECKING:
    import anndata
    import pandas

MAX_SPANS = 10  # forecasts further than this many fitted spans are refused: nothing supports them
DRAWS = 10_000  # what statistics are computed from
BAND_DRAWS = 2_000  # and those of each member
Statistic = Callable[["WeightFlow", Numbers], Tensor]
At = Mapping[str, Value]  # a condition: a value for each covariate


@dataclass(frozen=True, eq=False, repr=False)
class WeightFlow(Carded):
    """p(x, t): a backbone whose weights follow a path.

    All times are in the data's own units. Several of them, in a sequence, are the first axis of what comes back; one
    bare number is one time, and what comes back has no axis for it.

    Attributes:
        backbone: the pure function that turns weights into a density.
        path: weights by the clock (a rollout of phi, a direct path, or a table).
        clock: physical time to clock.
        species: names of the dimensions.
        kinds: kinds of the dimensions.
        record: how the model was made (configuration, seed, versions, data), as plain values.
        unit: of the times, as in `Snapshots`.
        members: fits of the same kind to resampled data, whose spread says how sure the model is (`band`).
        motion: how samples themselves move (`drift`), of several conditions under each; None where no drift led them.
        last: the last fitted time; None where the path ends there. Beyond it the path may have been taught by forecasts
            of a drift, up to its end (`taught_until`).
        conditions: that were fitted, where there are several or one that is named; whatever is asked then needs `at`,
            as in `at={"dose": 1.0}`, which may lie between them.
    """

    backbone: Backbone
    path: AnyPath
    clock: Clock
    species: tuple[str, ...]
    kinds: tuple[Kind, ...]
    record: dict[str, Any] = field(default_factory=dict)
    unit: str = ""
    members: tuple["WeightFlow", ...] = ()
    motion: Drift | Varied | None = None
    last: float | None = None
    conditions: Conditions | None = None

    @property
    def span(self) -> tuple[float, float]:
        """First and last fitted time."""
        return float(self.clock.times[0]), self.taught_until if self.last is None else self.last

    @property
    def taught_until(self) -> float:
        """The time up to which the path was taught: the last fitted one, or the horizon of a drift's forecasts."""
        return float(self.clock.times[-1])

    @cached_property
    def rests(self) -> bool:
        """Whether the weights stand still beyond the last fitted time, because nothing leads their path there.

        That is so where the path was not taught further and would run away (`weightflow.bridge.pace`); of a model of
        several conditions, where it would under one of them.
        """
        if self.conditions is not None:
            return any(self.under(self.conditions.named(point)).rests for point in self.conditions.distinct)
        facts, last = self.record.get("pace"), self.span[1]
        if facts is None or self.taught_until > last:
            return False
        pace = Pace.of_facts(facts)
        clock = torch.as_tensor(self.clock(np.array([last, last + pace.gap])), dtype=torch.float32)
        numbers = quasi_uniforms(Pace.points, self.backbone.dim, 0, "pace").expand(2, -1, -1)
        before, after = self._engine.apply(self.backbone.sample, clock, numbers).numpy()
        return pace.is_left_behind(before, after)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._engine.device

    def to(self, device: torch.device | str) -> "WeightFlow":
        """Return the same model on another device (cpu, cuda or cuda:N), where it then computes.

        What it is asked for comes back on the CPU all the same, so that no caller need know where a model is.

        Raises:
            InputError: the device is not there.
        """
        place = find_device(device)
        return replace(
            self, path=deepcopy(self.path).to(place), members=tuple(member.to(place) for member in self.members)
        )

    def under(self, at: At | None) -> "WeightFlow":
        """Return the model of one condition, which has no others; a model without conditions as it is, for None.

        A condition outside the convex hull of those that were fitted is an extrapolation, of which Python warns.

        Raises:
            InputError: the model has conditions and none is given, or the other way round; or the condition is not
                possible.
        """
        if self.conditions is None:
            if at is not None:
                raise InputError("this model has no conditions, so that there is nothing to be `at`; leave that out.")
            return self
        if at is None:
            example = ", ".join(f"{name!r}: .." for name in self.conditions.names)
            raise InputError(
                f"this model is of {len(self.conditions.distinct)} conditions, and is asked about one: say which, "
                f"at={{{example}}}, on the command line `--at {self.conditions.names[0]}=..`."
            )
        point = self.conditions.point(at)
        outside = self.conditions.outside(point)
        if outside:
            warnings.warn(outside, ExtrapolationWarning, stacklevel=3)
        code = torch.as_tensor(self.conditions.features(point), dtype=torch.float32, device=self.device)[None]
        seen = code.shape[1] > 0
        return replace(
            self,
            path=Under(self.path, code) if seen and isinstance(self.path, Rollout | Direct) else self.path,
            motion=self._motion_under(self.conditions, point),
            record={**self.record, "at": self.conditions.named(point)},
            members=tuple(member.under(at) for member in self.members),
            conditions=None,
        )

    def _motion_under(self, conditions: Conditions, point: Point) -> Drift | Varied | None:
        if not isinstance(self.motion, Varied):
            return self.motion
        plain = conditions.with_powers(Conditions.powers)  # as data have them, whatever the backbone's weights see
        return self.motion.under(plain.features(point))

    def weights(self, times: Numbers, *, at: At | None = None) -> Float[Tensor, "*time token width"]:
        """Return the backbone's weights at physical `times`, in any order.

        Raises:
            InputError: a time is before the first fitted one, or more than ten fitted spans after the last; or as for
                `under`.
        """
        asked, here = Asked.of(times), self.under(at)
        return asked.shaped(here._engine.weights(here._clock(asked)).cpu())

    def sample(
        self,
        times: Numbers,
        n: int,
        seed: int = 0,
        *,
        at: At | None = None,
        given: Mapping[str, float] | None = None,
        independent: bool = False,
    ) -> Float[Tensor, "*time draw dim"]:
        """Draw `n` samples at each of `times`, of all species, or of the others where some are `given`.

        By default the `n` samples of a time come from a randomised Sobol sequence (Owen 1997): each one by itself is
        distributed as the model says, and together they stand for the distribution better than independent ones do,
        because they avoid each other. They come in random order, so that any part of them is as good as any other.
        `independent` gives ordinary Monte-Carlo samples. Samples of different times are independent of each other
        either way, and do not depend on what else is asked.

        With `given`, as in `{"A": 3.0}`, samples are those of p(others | A = 3), and the columns of what is given hold
        it. That is exact where the given species come first in `backbone.order` (by default the order of the data) or
        are constant. Elsewhere samples are chosen from weighted candidates (`weightflow.model.given`): right in the
        limit, with an effective number of candidates of at least four for each sample, and a value may come twice.

        Raises:
            InputError: `n` is not a positive whole number, `given` is not possible or so improbable that too few
                candidates agree with it, or as for `weights`.
        """
        check_draws("n", n)
        asked, here = Asked.of(times), self.under(at)
        engine = here._engine
        clock = here._clock(asked)
        known = Given.of(given or {}, self.species, self.kinds)
        numbers = uniforms if independent else quasi_uniforms
        if known.first(self.backbone):
            drawn = torch.stack([numbers(n, self.backbone.dim, seed, "sample", time.hex()) for time in asked])
            walk = partial(self.backbone.sample, given=known.values)
            return asked.shaped(engine.apply(walk, clock, drawn))
        clouds = [
            resampled(
                engine,
                tokens,
                known,
                n,
                lambda rows, time=time: numbers(rows, self.backbone.dim, seed, "given", time.hex()),
                torch_generator(seed, "chosen", time.hex()),
                time,
            )
            for tokens, time in zip(engine.each(clock), asked, strict=True)
        ]
        return asked.shaped(torch.stack(clouds))

    def log_prob(self, x: Numbers, t: Numbers, *, at: At | None = None) -> Float[Tensor, "*shape"]:
        """Evaluate the normalised log-density, in nats, in double precision.

        Counts have probabilities, continuous values densities in the data's units. What cannot be has minus infinity:
        negative or fractional counts, infinite values. A species that was constant in the fitted data has the
        probability 1 - 1e-6 at that constant, and the rest is spread over all other values (`heads.constant`).

        Args:
            x: samples, shape (draw, dim), or (time, draw, dim) with one cloud for each time.
            t: one time, or (time,) of them.
            at: the condition, where the model has several.

        Returns:
            shape (time, draw) for several times; for one time that of `x` without its last axis.

        Raises:
            InputError: shapes do not fit, a value is not a number, or as for `weights`.
        """
        return self._evaluated(self._finite_log_prob, x, t, at)

    def log_prob_each(
        self, x: Float[np.ndarray, "time draw dim"], t: Float[np.ndarray, "time"], points: Sequence[At]
    ) -> Float[Tensor, "condition time draw"]:
        """Evaluate the log-density under each of several conditions at once; see `log_prob`, and nothing is warned of.

        Args:
            x: one cloud for each time.
            t: times.
            points: conditions.

        Raises:
            InputError: as for `log_prob`, and for `under`.
        """
        conditions, path = self.conditions, self.path
        if conditions is None or not isinstance(path, Rollout | Direct):
            raise InputError("this model has no conditions; ask its `log_prob`.")
        asked, clouds = self._aligned(x, t)
        clock, engine = self._clock(asked).to(self.device), self._engine
        codes = torch.as_tensor(np.stack([conditions.features(conditions.point(at)) for at in points]))
        if not codes.shape[1]:  # one condition is all there is
            return self.under(points[0]).log_prob(x, t).expand(len(points), -1, -1)
        at_once = max(1, engine.max_values // (len(clouds) * clouds.shape[1] * self.backbone.dim))
        found: list[Tensor] = []
        for some in codes.to(self.device, torch.float32).split(at_once):
            with torch.no_grad():
                tokens = path.each(clock, some).flatten(0, 1).double()
            values = engine.over_draws(self._finite_log_prob, tokens, clouds.repeat(len(some), 1, 1))
            found.append(values.unflatten(0, (len(some), -1)))
        return torch.cat(found)

    def score(self, x: Numbers, t: Numbers, *, at: At | None = None) -> Float[Tensor, "*shape dim"]:
        """Return the gradient of the log-density with respect to `x`: the score of diffusion theory.

        It has nothing to do with the scores that judge a model (`weightflow.evaluation`). Of a species that was
        constant in the fitted data it is zero, since there is no density to differentiate.

        Args:
            x: samples, as for `log_prob`; all finite.
            t: one time, or (time,) of them.
            at: the condition, where the model has several.

        Returns:
            shape (time, draw, dim) for several times, that of `x` for one time; nats per unit of each species.

        Raises:
            InputError: a species is of counts, a value is not finite, or as for `log_prob`.
        """
        counts = [name for name, kind in zip(self.species, self.kinds, strict=True) if kind is Kind.COUNTS]
        if counts:
            raise InputError(
                f"the score function is a gradient, and counts ({', '.join(counts)}) have none; compare `log_prob` at "
                "neighbouring counts, or fit with `--kind continuous`."
            )
        if not np.isfinite(array_of("x", x)).all():
            raise InputError("`x` holds values that are not finite, where a density has no gradient; drop those rows.")
        return self._evaluated(partial(gradient, self.backbone), x, t, at)

    def drift(self, x: Numbers, t: Numbers, *, at: At | None = None) -> Float[Tensor, "*shape dim"]:
        """Return the drift f of dx = f(x) dt + g dW at some places, in the data's units per unit of time.

        It was fitted so that each snapshot is carried onto the next, and made the paths between them or the forecasts
        beyond. Where no sample was it is a guess. `motion.noise` is g, in the data's units by the root of time.

        Args:
            x: places, as for `log_prob`; all finite.
            t: one time, or (time,) of them; the drift is the same at all.
            at: the condition, where the model has several.

        Returns:
            shape (time, draw, dim) for several times, that of `x` for one time.

        Raises:
            InputError: no drift was kept, a value is not finite, or as for `log_prob`.
        """
        here = self.under(at)
        if not isinstance(here.motion, Drift):
            raise InputError(
                "this model has no drift: curves through the snapshots joined them better, or just as well; fit it "
                "with `bridge.curve: drift` to have one all the same."
            )
        if not np.isfinite(array_of("x", x)).all():
            raise InputError("`x` holds values that are not finite, where there is no drift; drop those rows.")
        asked, places = here._aligned(x, t)
        here._clock(asked)
        return torch.as_tensor(here.motion(places.numpy()))

    def marginals(
        self,
        times: Numbers,
        draws: int = DRAWS,
        seed: int = 0,
        states: int | None = None,
        *,
        at: At | None = None,
    ) -> Float[Tensor, "*time dim state"]:
        """Return the probability of each count of each species; the last one listed is of "this count or more".

        They are exact where the states of all species but the last can be listed (at most 20,000), and averages of the
        exact conditionals over `draws` samples elsewhere. `states` says how many are listed, where more are wanted than
        the backbone's own.

        Raises:
            InputError: a species is continuous, `states` are too few, or as for `weights`.
        """
        asked = Asked.of(times)
        here = self.under(at)
        clock, engine, least = here._clock(asked), here._engine, self.backbone.states
        listed = least if states is None else states
        if listed < least:
            raise InputError(f"`states`={listed} were asked for; this model lists at least {least}.")
        if listable(self.backbone):
            found = [exact_marginals(engine, tokens, listed) for tokens in engine.each(clock)]
        else:
            clouds = here._clouds(asked, clock, draws, seed)
            found = [drawn_marginals(engine, tokens, cloud, listed) for tokens, cloud in clouds]
        return asked.shaped(torch.cat([one.cpu() for one in found]))

    def mean_and_cov(self, times: Numbers, draws: int = DRAWS, seed: int = 0, *, at: At | None = None) -> Moments:
        """Return means and covariances of the species: `.mean` of shape (time, dim), `.cov` of (time, dim, dim).

        They are those of `draws` samples of a Sobol sequence, whose means are far closer to the model's own than those
        of as many independent samples.

        Raises:
            InputError: as for `sample`.
        """
        asked = Asked.of(times)
        here = self.under(at)
        found = [moments(cloud) for _, cloud in here._clouds(asked, here._clock(asked), draws, seed)]
        return Moments(*(asked.shaped(torch.stack(part)) for part in zip(*found, strict=True)))

    def quantiles(
        self,
        times: Numbers,
        q: Numbers,
        draws: int = DRAWS,
        seed: int = 0,
        *,
        at: At | None = None,
    ) -> Float[Tensor, "*time_and_level dim"]:
        """Return quantiles of each species by itself, from `draws` samples of a Sobol sequence.

        Those of counts are counts: the least whose cumulative probability reaches the level.

        Args:
            times: one or several.
            q: levels from 0 to 1, one or several; as with times, one bare number has no axis.
            draws: samples at each time.
            seed: of the samples.
            at: the condition, where the model has several.

        Returns:
            shape (time, level, dim).

        Raises:
            InputError: a level is outside [0, 1], or as for `sample`.
        """
        asked, wanted = Asked.of(times), levels(q)
        here = self.under(at)
        clouds = here._clouds(asked, here._clock(asked), draws, seed)
        return asked.shaped(torch.stack([sample_quantiles(cloud, wanted, self.kinds) for _, cloud in clouds]))

    def band(
        self,
        statistic: str | Statistic,
        times: Numbers,
        level: float = 0.9,
        draws: int = BAND_DRAWS,
        *,
        at: At | None = None,
    ) -> Band:
        """Return what the model says of a statistic, and the band in which the truth lies with the probability `level`.

        It comes from the spread of `members` (`weightflow.model.bands`), and covers what the sample and the fit leave
        open. Beyond the last fitted time it grows as the members part, and still says nothing of what no data show.

        Args:
            statistic: `mean`, `cov` or `marginals`, or a function of (model, times) whose answers have one shape for
                all members, such as `lambda model, times: model.quantiles(times, 0.5)`.
            times: one or several.
            level: between 0 and 1.
            draws: samples of each member; the same random numbers for all, so that few do for their spread.
            at: the condition, where the model has several; a function is given the models under it.

        Raises:
            InputError: there are fewer than two members, the statistic is not known, or as for what is asked.
        """
        known: dict[str, Statistic] = {
            "mean": lambda model, times: model.mean_and_cov(times, draws).mean,
            "cov": lambda model, times: model.mean_and_cov(times, draws).cov,
            "marginals": lambda model, times: model.marginals(times, draws, states=self.backbone.states),
        }
        if isinstance(statistic, str) and statistic not in known:
            raise InputError(f"the statistic `{statistic}` is not known; give {', '.join(known)}, or a function.")
        ask = known[statistic] if isinstance(statistic, str) else statistic
        here = self.under(at)
        found = band(ask(here, times), [ask(member, times) for member in here.members], level)
        return clipped(found, 0.0, 1.0) if statistic == "marginals" else found

    def draws(
        self,
        times: Numbers,
        n: int,
        seed: int = 0,
        *,
        at: At | None = None,
        given: Mapping[str, float] | None = None,
    ) -> Draws:
        """Draw as `sample` does, and keep times, names, kinds and unit beside the samples."""
        asked = Asked.of(times)
        samples = self.sample(asked.times, n, seed, at=at, given=given).numpy()
        return Draws(asked.times, samples, self.species, self.kinds, self.unit)

    def to_frame(
        self,
        times: Numbers,
        n: int,
        seed: int = 0,
        *,
        at: At | None = None,
        given: Mapping[str, float] | None = None,
    ) -> "pandas.DataFrame":
        """Draw samples into a table with the columns `time`, `draw` and one for each species."""
        return self.draws(times, n, seed, at=at, given=given).frame()

    def to_anndata(
        self,
        times: Numbers,
        n: int,
        seed: int = 0,
        *,
        at: At | None = None,
        given: Mapping[str, float] | None = None,
    ) -> "anndata.AnnData":
        """Draw samples into an AnnData: `obs` holds `time` and `draw`, and `uns["time_unit"]` the unit.

        Raises:
            InputError: the library anndata is not installed, or as for `sample`.
        """
        return self.draws(times, n, seed, at=at, given=given).anndata()

    def infer(self, snapshots: Snapshots | Dataset, prior: Prior | None = None) -> "pandas.DataFrame":
        """Return the posterior of the covariates that new snapshots were observed under (`weightflow.model.inference`).

        Args:
            snapshots: of one unknown condition, whose samples are independent of each other.
            prior: limits of covariates, as in `{"dose": (0.1, 10.0)}`, within which all values are as likely on the
                covariate's scale; the fitted range by default.

        Returns:
            one row a point: its covariates, `log_likelihood` and `weight`, which sums to one.

        Raises:
            InputError: the model has no conditions that vary, the data are of other species, no condition makes them
                possible, or as for `log_prob`.
        """
        return infer(self, snapshots, prior)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and `config.json` into `folder`; each file appears whole or not at all.

        Members go into `members/00`, `members/01`, .. beside them; what was left there of a former model is removed.

        Raises:
            InputError: it is one of several conditions, which is no model of its own.
        """
        if isinstance(self.path, Under):
            raise InputError("this is a model under one of its conditions; save the model of all, and ask it `at` one.")
        for place, member in zip(files.member_folders(folder, len(self.members)), self.members, strict=True):
            member.save(place)
        config = {
            "species": list(self.species),
            "kinds": [kind.value for kind in self.kinds],
            "backbone": self.backbone.model_dump(mode="json"),
            "record": self.record,
            "unit": self.unit,
            "members": len(self.members),
            "last": self.last,
            "conditions": None if self.conditions is None else self.conditions.facts(),
        }
        files.write(Path(folder), config, self.path, self.clock, self.motion)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "WeightFlow":
        """Read a model directory, with its members.

        Raises:
            InputError: the folder is no model directory, is damaged, or is of another format.
        """
        config, backbone, path, clock, motion = files.read(Path(folder))
        kinds = tuple(Kind(kind) for kind in config["kinds"])
        members = tuple(cls.load(place) for place in files.member_folders(folder, config.get("members", 0)))
        return cls(
            backbone,
            path,
            clock,
            tuple(config["species"]),
            kinds,
            config["record"],
            config.get("unit", ""),
            members,
            motion,
            config.get("last"),
            Conditions.of_facts(config.get("conditions")),
        )

    def _card(self) -> tuple[str, Facts]:
        first, last = self.span
        species = (f"{name} ({kind})" for name, kind in zip(self.species, self.kinds, strict=True))
        core, standing = self.backbone.core, self.record.get("fidelity")
        return "WeightFlow", [
            ("species", ", ".join(species)),
            ("fitted times", f"{written(first)} to {written(last)} {self.unit}".strip()),
            *([] if self.conditions is None else [("conditions", "; ".join(self.conditions.in_words()))]),
            ("backbone", f"{core.kind} of {core.hidden}, {self.backbone.layout.n_weights:,} weights"),
            ("path", f"{type(self.path).__name__.lower()}, on {self.device}"),
            ("drift", "none" if self.motion is None else "of dx = f(x) dt + g dW, the same at all times"),
            ("snapshots", in_words(standing) if standing else "not held against any."),
            ("forecasts", forecasts_in_words(self.record.get("forecast"), self.rests)),
            ("members", f"{len(self.members)}, for bands" if self.members else "none: it gives no bands"),
        ]

    @property
    def _engine(self) -> Engine:
        return Engine(self.backbone, self.path)

    def _clock(self, asked: Asked) -> Float[Tensor, "time"]:
        first, last = self.span
        limit = last + MAX_SPANS * (last - first)
        wanted = asked.times
        if wanted.size == 0 or not np.isfinite(wanted).all() or wanted.min() < first or wanted.max() > limit:
            raise InputError(
                f"`times` must be finite and lie in [{written(first)}, {written(limit)}] (fitted: [{written(first)}, "
                f"{written(last)}]), but got "
                f"{asked}; ask for times in that range."
            )
        if wanted.max() > last and self.rests:
            wanted = np.minimum(wanted, last)
        return torch.as_tensor(np.clip(self.clock(wanted), 0.0, None), dtype=torch.float32)

    def _clouds(
        self, asked: Asked, clock: Float[Tensor, "time"], draws: int, seed: int
    ) -> Iterator[tuple[Float[Tensor, "1 token width"], Float[Tensor, "draw dim"]]]:
        """Yield weights and samples of one time after the other: those of all may be much more than is held at once.

        Raises:
            InputError: `draws` is not a positive whole number.
        """
        check_draws("draws", draws)
        for tokens, time in zip(self._engine.each(clock), asked, strict=True):
            numbers = quasi_uniforms(draws, self.backbone.dim, seed, "sample", time.hex())[None]
            yield tokens, self._engine.over_draws(self.backbone.sample, tokens, numbers)[0]

    def _evaluated(
        self, function: Callable[[Tensor, Tensor], Tensor], x: Numbers, t: Numbers, at: At | None
    ) -> Float[Tensor, "*shape"]:
        """Apply a function of (weights, samples) at one or several times, under a condition."""
        asked, samples = self._aligned(x, t)
        here = self.under(at)
        clock, engine = here._clock(asked), here._engine
        if asked.single:
            found = engine.apply(function, clock, samples.reshape(1, -1, samples.shape[-1]))
            return found.reshape((*samples.shape[:-1], *found.shape[2:]))
        return engine.apply(function, clock, samples)

    def _aligned(self, x: Numbers, t: Numbers) -> tuple[Asked, Float[Tensor, "*shape dim"]]:
        """Return the times, and samples with one cloud for each, where they are several."""
        asked, samples = Asked.of(t), torch.as_tensor(array_of("x", x))
        dim, several = len(self.species), len(asked.times)
        if samples.ndim == 0 or samples.shape[-1] != dim or (not asked.single and samples.ndim not in (2, 3)):
            raise InputError(
                f"`x` has shape {tuple(samples.shape)} and `t` {'()' if asked.single else (several,)}; give x of shape "
                f"(draw, {dim}) or (time, draw, {dim}) and one time or (time,)."
            )
        if samples.isnan().any():
            raise InputError("`x` holds values that are not a number (NaN), which have no density; drop those rows.")
        if asked.single:
            return asked, samples
        clouds = samples if samples.ndim == 3 else samples.expand(several, -1, -1)
        if len(clouds) != several:
            raise InputError(f"`x` holds {len(clouds)} clouds for {several} times; give one cloud for each time.")
        return asked, clouds

    def _finite_log_prob(
        self, tokens: Float[Tensor, "time token width"], clouds: Float[Tensor, "time draw dim"]
    ) -> Float[Tensor, "time draw"]:
        """Evaluate the backbone, which knows no infinite values: they have log-density minus infinity."""
        infinite = clouds.isinf()
        log_prob = self.backbone.log_prob(tokens, clouds.masked_fill(infinite, 0.0))
        return log_prob.masked_fill(infinite.any(-1), -torch.inf)


def load(folder: str | os.PathLike[str], device: torch.device | str = "cpu") -> WeightFlow:
    """Read a model directory onto a device; see `WeightFlow.load` and `WeightFlow.to`."""
    return WeightFlow.load(folder).to(device)
