"""Words of the field, each explained once."""

from collections.abc import Iterator

from weightflow.evaluation import Scores
from weightflow.metrics import described
from weightflow.report.theme import STYLES

METHODS = {
    "model": "what was fitted here",
    "nearest": "the samples of the nearest snapshot, as if nothing moved between",
    "persistence": "the samples of the last snapshot before, as if nothing moved after it",
    "mixture": "the two neighbouring snapshots, mixed by their distance in time",
    "mccann": "samples of the two neighbouring snapshots, paired by optimal transport, move in straight lines",
    "bridge": "the same with noise on the way",
    "chosen_bridge": "the same along the curve that leaving one time out has chosen",
    "direct": "a variant of the model's own fit: a path of the weights without a field",
    "weights_line_between_conditions": "a variant of the model's own fit: a straight line between its weights under "
    "the two conditions around",
    "weights_line": "a variant of the model's own fit: straight lines between its weights at the snapshots",
    "nearest_condition": "the samples of the condition that is nearest to the one that was left out",
    "mixture_of_conditions": "those of the two neighbouring conditions, mixed by their distance",
    "transport_between_conditions": "those of the two, paired by optimal transport, and moved to the place between",
    "shrunk_truth": "true samples at half their spread, to see which scores would be fooled",
    "floor": "what a perfect model would score: two finite samples of one distribution differ by chance",
}
GENERAL = {
    "snapshot": "samples of the system at one time, of which nobody knows which came from which",
    "alternatives": "what somebody without the model could take: the other rows of the table",
    "95 % interval": "where the mean would lie with other samples of the same sizes, of the data and of each method",
    "nats": "units of the logarithm to the base e: 0.1 less is a likelihood of each sample that is 10 % higher",
    "held-out": "data that were kept from a fit, to judge it by",
    "trial, epoch": "a trial is one configuration that the search trained; an epoch is a part of its training",
    "pruned": "stopped early, as it did worse than others after as many epochs",
    "fresh seeds": "the best configurations, trained once more with other random numbers: their luck is no merit",
}


def words(scores: Scores) -> Iterator[tuple[str, str]]:
    """Yield each word with what it means: general ones, the methods of the table, and its metrics."""
    yield from GENERAL.items()
    for method in scores.ordered:
        if method in METHODS:
            yield STYLES[method].label, METHODS[method]
    for metric in scores.metrics:
        known = described(metric)
        if known is not None:
            yield f"{known.label} ({known.name})", known.meaning
