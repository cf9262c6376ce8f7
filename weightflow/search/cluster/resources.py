"""What a search may use of a machine or a cluster, and how much of it a trial takes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from joblib import cpu_count

from weightflow.errors import InputError

TRIALS_PER_GPU = 8  # until it is measured what a trial takes
MOST_PER_GPU = 16  # small models end 6 times as many trials as one at a time; of more, nothing was measured
GIB = 2**30
ROUNDING = 1e-9  # of quotients of shares such as 0.1, which are not exact
Amount = int | float


@dataclass(frozen=True)
class Node:
    """What one machine offers.

    Attributes:
        cpus: of it.
        gpus: of it.
        memory: in bytes; None: it is not counted.
        id: Ray's name of it.
        address: people's name of it.
    """

    cpus: Amount
    gpus: Amount = 0
    memory: Amount | None = None
    id: str = ""
    address: str = ""

    def slots(self, share: Mapping[str, Amount]) -> int:
        """Return how many trials fit that take `share` each: a trial's GPUs are whole ones, or a part of one."""
        gpu = share.get("gpu", 0.0)
        fits = [_times(self.cpus, share.get("cpu", 0.0))]
        if gpu:
            fits.append(int(self.gpus) * _times(1.0, gpu) if gpu < 1 else _times(int(self.gpus), gpu))
        if self.memory is not None:
            fits.append(_times(self.memory, share.get("memory", 0.0)))
        return min(fits)


@dataclass(frozen=True)
class Wanted:
    """What the user asks for; None: it is chosen.

    Attributes:
        cpus: at most, of the search.
        gpus: at most, of the search.
        cpus_per_trial: reserved for each trial.
        gpus_per_trial: reserved for each trial: a part of one, or whole ones.
        memory_per_trial: reserved for each trial, in bytes.
        elastic: whether more may be asked for than there is, since nodes will join.

    Raises:
        InputError: a number makes no sense.
    """

    cpus: int | None = None
    gpus: int | None = None
    cpus_per_trial: Amount | None = None
    gpus_per_trial: Amount | None = None
    memory_per_trial: Amount | None = None
    elastic: bool = False

    def __post_init__(self) -> None:
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if value is not None and value != int(value):
                raise InputError(f"`--{name} {value:g}` must be a whole number; `--{name}-per-trial` may be a part.")
        for name, value in (("cpus", self.cpus_per_trial), ("memory", self.memory_per_trial)):
            if value is not None and value <= 0:
                raise InputError(f"`--{name}-per-trial {value:g}` must be above 0.")
        gpu = self.gpus_per_trial
        if gpu is not None and (gpu < 0 or (gpu > 1 and gpu != int(gpu))):
            raise InputError(f"`--gpus-per-trial {gpu:g}` must be a part of one GPU, such as 0.25, or whole ones.")


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs of a search.

    Attributes:
        cpus: at most.
        gpus: at most.
        nodes: the machines that have them, as far as they are there; one that has all of it by default.
        wanted: what each trial is to take, where the user says so, and whether further nodes may join.
        refused: identifiers of nodes that are left out.
        per_gpu: trials that may share one, where the user does not say.
        memory: bytes that a trial takes, if nodes must be kept from running more than fit; None: they need not.
    """

    cpus: int
    gpus: int
    nodes: tuple[Node, ...] = ()
    wanted: Wanted = field(default=Wanted())
    refused: tuple[str, ...] = ()
    per_gpu: int = TRIALS_PER_GPU
    memory: Amount | None = None

    @classmethod
    def choose(cls, nodes: Sequence[Node], wanted: Wanted, refused: Sequence[str] = ()) -> "Resources":
        """Take what was asked for, or everything that there is.

        Raises:
            InputError: more was asked for than there is, and no more will come, or less than one CPU; or no node has
                what one trial takes.
        """
        have = {"cpus": sum(int(node.cpus) for node in nodes), "gpus": sum(int(node.gpus) for node in nodes)}
        for name, asked, least in (("cpus", wanted.cpus, 1), ("gpus", wanted.gpus, 0)):
            if asked is not None and (asked < least or (asked > have[name] and not wanted.elastic)):
                if not have[name]:
                    raise InputError(
                        f"`--{name} {asked}` was asked for, but there is no {name[:-1].upper()} here; leave the option "
                        "out, or join a cluster that has some with `--address`."
                    )
                raise InputError(
                    f"`--{name} {asked}` was asked for, but {have[name]} {name[:-1].upper()}(s) can be used here; "
                    f"give a number from {least} to {have[name]}, or join a larger cluster with `--address`."
                )
        gpus = have["gpus"] if wanted.gpus is None else wanted.gpus
        # with GPUs that are to come, CPUs come with them
        cpus = max(have["cpus"], gpus * TRIALS_PER_GPU if wanted.elastic else 0)
        chosen = cls(cpus if wanted.cpus is None else wanted.cpus, gpus, tuple(nodes), wanted, tuple(refused))
        if not chosen._slots and not wanted.elastic:
            raise InputError(
                f"no node can hold a trial, which takes {_in_words(chosen.per_trial)}; take less for each with "
                "`--cpus-per-trial`, `--gpus-per-trial` or `--memory-per-trial`."
            )
        return chosen

    @property
    def workers(self) -> int:
        """Workers for the anchors: one for each GPU, or for each CPU where there is none."""
        return self.gpus or self.cpus

    @property
    def per_worker(self) -> dict[str, Amount]:
        """What Ray reserves for such a worker: a whole GPU, and the CPUs of a trial, so that all GPUs work."""
        return {"cpu": self._cpu, "gpu": 1.0} if self.gpus else {"cpu": 1.0}

    @cached_property
    def concurrent_trials(self) -> int:
        """Trials that run at the same time."""
        share = self.per_trial
        gpu = share.get("gpu", 0.0)
        limits = [_times(self.cpus, share["cpu"])]
        if gpu:
            limits.append(self.gpus * _times(1.0, gpu) if gpu < 1 else _times(self.gpus, gpu))
        if not self.wanted.elastic:
            limits.append(self._slots)
        return max(1, min(limits))

    @cached_property
    def per_trial(self) -> dict[str, Amount]:
        """What Ray reserves for a trial: by default one CPU or less, and a share of a GPU that leaves none idle.

        Ray fills one GPU before it takes the next. So a GPU is cut into as many shares as the CPUs beside it can keep
        busy, on the node that has the fewest; smaller shares would leave the last GPUs of that node to nobody.
        """
        share: dict[str, Amount] = {"cpu": self._cpu}
        gpu = self.wanted.gpus_per_trial
        if self.gpus and gpu is None:
            beside = min((self._beside_gpu(node) for node in self._with_gpus), default=float(self.per_gpu))
            per_gpu = _times(beside, self._cpu)
            gpu = 1.0 / max(1, min(self.per_gpu, per_gpu, -(-_times(self.cpus, self._cpu) // self.gpus)))
        if self.gpus and gpu:
            share["gpu"] = gpu
        if (memory := self.wanted.memory_per_trial or self.memory) is not None:
            share["memory"] = memory
        return share

    @property
    def unsettled(self) -> bool:
        """Whether something of what a trial takes is left to be measured."""
        return self.wanted.memory_per_trial is None or (self.gpus > 0 and self.wanted.gpus_per_trial is None)

    def fitted(self, per_gpu: int, memory: Amount) -> "Resources":
        """Return the same for trials of which it was measured what one takes.

        Memory is counted where some node would otherwise be given more trials than it can hold. No trial is taken to
        need more than the largest node has: it is tried there.

        Args:
            per_gpu: how many may share a GPU.
            memory: bytes of one.
        """
        fitted = replace(self, per_gpu=min(per_gpu, MOST_PER_GPU))
        have = [node.memory for node in self._all if node.memory is not None]
        if self.wanted.memory_per_trial is not None or not have:
            return fitted
        counted = replace(fitted, memory=min(memory, max(have)))
        return counted if counted._slots < fitted._slots else fitted

    def enlarged(self, doublings: int) -> dict[str, Amount]:
        """Return what a trial takes whose share of a GPU was too small so many times: twice as much each time.

        It takes no more than one whole GPU, if it took a part of one: it computes on one alone.
        """
        share = self.per_trial
        gpu = share.get("gpu", 0.0)
        return {**share, "gpu": min(gpu * 2**doublings, 1.0)} if 0 < gpu < 1 else share

    @property
    def labels(self) -> dict[str, str]:
        """What Ray asks of the nodes that it takes."""
        return none_of(self.refused)

    @property
    def _all(self) -> tuple[Node, ...]:
        return self.nodes or (Node(self.cpus, self.gpus),)

    @property
    def _with_gpus(self) -> list[Node]:
        return [node for node in self._all if node.gpus >= 1]

    @property
    def _slots(self) -> int:
        return sum(node.slots(self.per_trial) for node in self._all)

    @property
    def _cpu(self) -> Amount:
        """CPUs of a trial: one, or less where a node has fewer CPUs than GPUs."""
        if self.wanted.cpus_per_trial is not None:
            return self.wanted.cpus_per_trial
        fewest = min((self._beside_gpu(node) for node in self._with_gpus), default=1.0) if self.gpus else 1.0
        return min(1.0, fewest) or 1.0

    def _beside_gpu(self, node: Node) -> Amount:
        """CPUs of a node for each of its GPUs that may be used."""
        return node.cpus / min(int(node.gpus), self.gpus)

    def __str__(self) -> str:
        most = "at most " if self.wanted.elastic else ""
        return f"{most}{self.cpus} CPU(s), {self.gpus} GPU(s), {self.concurrent_trials} trial(s) at a time"


def none_of(nodes: Sequence[str]) -> dict[str, str]:
    """Ask Ray for nodes other than some."""
    return {"ray.io/node-id": f"!in({','.join(nodes)})"} if nodes else {}


def read_memory(text: str | None) -> float | None:
    """Read an amount of memory such as 500M, 2G or 1.5GiB, in bytes.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG])(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise InputError(f"`--memory-per-trial {text}` cannot be read; write an amount such as 500M or 2G.")
    return float(found[1]) * {"M": 2**20, "G": GIB}[found[2].upper()]


def usable_cpus() -> int:
    """CPUs that this process may use: those of the machine, unless its affinity or its container allow fewer."""
    return cpu_count()


def _times(whole: Amount, part: Amount) -> int:
    """Return how often a part fits."""
    return int(whole / part + ROUNDING) if part else 2**31


def _in_words(share: Mapping[str, Amount]) -> str:
    amounts = {"memory": lambda value: f"{value / GIB:.3g} GiB of memory"}
    return ", ".join(amounts.get(kind, lambda v, k=kind: f"{v:g} {k.upper()}")(value) for kind, value in share.items())
