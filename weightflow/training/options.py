"""Options of training."""

from enum import StrEnum

from pydantic import Field

from weightflow.types import Options

FEW_SPECIES, MOST_DRAWS = 4, 4.0  # species for which a teacher's draws do; of more, how many times as many it takes


class Objective(StrEnum):
    """What the rolled-out weights are held against: the teacher's log-densities of samples, or the anchors."""

    LIKELIHOOD = "likelihood"
    ANCHOR = "anchor"

    @property
    def loss(self) -> str:
        """What the loss of a rollout is."""
        return {"likelihood": "log_ratio", "anchor": "anchor"}[self.value]


class TeacherOptions(Options):
    """How the teacher path is fitted, the direct path theta(t) that trials learn their field from."""

    steps: int = Field(default=750, ge=1)
    draws: int = Field(
        default=32, ge=1, description="samples at each time in each step; of more than 4 species up to 4 times as many"
    )
    random_times: int = Field(default=6, ge=1, description="times between snapshots in each step")
    learning_rate: float = Field(default=5e-3, gt=0)
    length: float = Field(
        default=1e-2,
        ge=0,
        description="price of a unit of path length in weight space; of long paths, of its logarithm",
    )
    width: int = Field(default=128, ge=1, description="hidden units")
    rounds: int = Field(
        default=3, ge=1, description="fits at most; one that misses its snapshots goes on, at a tenth of the price"
    )

    def draws_of(self, species: int) -> int:
        """Return the samples at each time in each step: more where there is more to learn from them.

        On fifteen species the teacher of 32 draws had a Jensen-Shannon divergence of 0.00104 from the second snapshot
        on, that of 128 had 0.00096, where a perfect model has 0.0009; on two it made no difference.
        """
        return round(self.draws * min(max(species / FEW_SPECIES, 1.0), MOST_DRAWS))

    def of_round(self, number: int) -> "TeacherOptions":
        """Return the options of a round, counted from 0: each has a tenth of the price before and twice the steps."""
        return self.model_copy(update={"length": self.length / 10**number, "steps": self.steps * 2**number})


class TrainingOptions(Options):
    """How phi is trained: epochs of collocation on the reference path, then epochs of rollouts."""

    objective: Objective = Objective.LIKELIHOOD
    epochs: int = Field(default=12, ge=2)
    warm_share: float = Field(default=0.67, ge=0, lt=1, description="share of the epochs that are collocation")
    collocation_steps: int = Field(default=96, ge=1, description="steps in an epoch of collocation")
    collocation_batch: int = Field(default=12, ge=1)
    rollout_steps: int = Field(default=6, ge=1, description="steps in an epoch of rollouts")
    learning_rate: float = Field(
        default=1e-2, gt=0, description="highest rate; rollouts after collocation take a tenth"
    )
    pull_back: float = Field(
        default=5.0,
        ge=0,
        description="rate by the clock at which the field leads back to its path, as far as the solver follows",
    )
    energy: float = Field(default=1e-6, ge=0, description="price of path energy in rollouts")
    draws: int = Field(default=64, ge=1, description="samples at each time of a rollout (objective `likelihood`)")
    random_times: int = Field(default=8, ge=0, description="times between snapshots in such a rollout")
    window: int = Field(default=4, ge=1, description="anchor intervals in a window (objective `anchor`)")
    rounds: int = Field(
        default=2, ge=1, description="fits at most; one that falls behind its teacher is begun anew, and sees the clock"
    )

    @property
    def warm_epochs(self) -> int:
        """Epochs of collocation."""
        return round(self.warm_share * self.epochs)

    @property
    def grace_epochs(self) -> int:
        """Epochs after which scores can first be compared: a quarter of the collocation.

        Measured on 24 random configurations each of two systems, 12 epochs: the rank correlation of the score after
        1, 2, 4 and 8 epochs with the final one was 0.6 to 0.8, 0.8 to 0.9, 0.94 and 0.98, and from the second epoch on
        the configuration that was best in the end was among the best four.
        """
        return max(1, self.warm_epochs // 4)
