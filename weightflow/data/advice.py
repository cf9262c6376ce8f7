"""What a statistician would say before a fit: how much these samples can carry."""

from weightflow.data.snapshots import Snapshots
from weightflow.data.words import listed

SHOWN = 5
FEW = 30  # samples of one time; fewer support a broad density, and scores that vary much


def advice(snapshots: Snapshots) -> tuple[str, ...]:
    """Return warnings in whole sentences; none where there is nothing to say."""
    sizes = [len(cloud) for cloud in snapshots.samples]
    single = [time for time, n in zip(snapshots.times, sizes, strict=True) if n == 1]
    few = [time for time, n in zip(snapshots.times, sizes, strict=True) if 1 < n < FEW]
    unit, said = snapshots.unit, list[str]()
    if single:
        said.append(
            f"there is a single sample at {listed(single, unit, SHOWN)}: it says where the distribution is, and "
            "nothing of how wide it is; that is taken from the other times."
        )
    if few:
        smallest = min(n for n in sizes if n > 1)
        said.append(
            f"there are fewer than {FEW} samples at {listed(few, unit, SHOWN)} (the fewest: {smallest}): they carry a "
            "smooth, broad density and no detail, and every score of so few varies much by chance."
        )
    return tuple(said)
