"""The nodes of a cluster: which there are, which can be used, and how more of them are asked for."""

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray._private.worker import global_worker
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from weightflow.errors import InputError, SearchError, first_line
from weightflow.search.cluster.autoscaler import is_made_by_autoscaler
from weightflow.search.cluster.probe import Build, look
from weightflow.search.cluster.resources import Node, Resources, Wanted
from weightflow.search.say import Say
from weightflow.stopping import stop_if_asked

STATUS = b"__autoscaling_status"  # where Ray's autoscaler leaves every few seconds what it sees
FIRST_REPORT = 15.0  # seconds after its start within which it does so first
LOOK = 1.0  # seconds between two looks: neither nodes that join nor the autoscaler's report wake anybody
PATIENCE = 60.0  # seconds between lines on what is waited for
LONGEST = 1800.0  # seconds that a first node may take; clouds take minutes, and none that is to come takes longer
PROBE_SECONDS = 60.0
AGAIN = 10.0  # seconds between looks for nodes that have joined


def resources_of_cluster(wanted: Wanted, say: Say) -> Resources:
    """Find out what a search may use of the cluster that this process has joined.

    Where more is wanted than there is, and an autoscaler is there or `wanted` says that nodes will join, what is there
    is begun with; the first GPU, or the first CPU, is waited for.

    Raises:
        InputError: more was asked for than there is, and no more will come, or no node or no GPU can be used.
        SearchError: no node has come.
    """
    there = nodes()
    if not wanted.elastic and _lacks(there, wanted) and _scales():
        wanted = Wanted(**{**vars(wanted), "elastic": True})
    if wanted.elastic:
        ask_for(wanted)
        there = _first_nodes(wanted, say)
    unfit = _unfit(there, wanted.gpus != 0, say)
    if unfit:
        usable, told = [node for node in there if node.id not in unfit], "; ".join(unfit.values())
        gpus = wanted.gpus != 0 and any(node.gpus >= 1 for node in there)
        if gpus and not any(node.gpus >= 1 for node in usable):
            raise InputError(f"no GPU of the cluster can be used: {told}; or take no GPU, with `--gpus 0`.")
        if not any(node.cpus for node in usable):
            raise InputError(f"no node of the cluster can be used: {told}.")
        say(f"left out: {told}")
        there = usable
    chosen = Resources.choose(there, wanted, tuple(unfit))
    if wanted.elastic:
        say(_standing(there, chosen))
    return chosen


@contextmanager
def asked_for(resources: Resources) -> Generator[None, None, None]:
    """Keep what an elastic cluster was asked for until the end of a block, and take it back then."""
    try:
        yield
    finally:
        if resources.wanted.elastic and ray.is_initialized():
            with suppress(RayError, RuntimeError):  # the cluster may be gone
                request_resources(bundles=[])


def ask_for(wanted: Wanted) -> None:
    """Ask the autoscaler for nodes; which kinds of node it takes for that is its own matter."""
    request_resources(bundles=[{"GPU": 1}] * (wanted.gpus or 0) + [{"CPU": 1}] * (wanted.cpus or 0))


def nodes() -> list[Node]:
    """Return the nodes that are alive."""
    return [
        Node(
            cpus=offered.get("CPU", 0.0),
            gpus=offered.get("GPU", 0.0),
            memory=offered.get("memory"),
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
        )
        for node in ray.nodes()
        if node["Alive"]
        for offered in (node["Resources"],)
    ]


def _lacks(there: Sequence[Node], wanted: Wanted) -> bool:
    cpus, gpus = sum(int(node.cpus) for node in there), sum(int(node.gpus) for node in there)
    return (wanted.cpus or 0) > cpus or (wanted.gpus or 0) > gpus


def _scales() -> bool:
    """Whether an autoscaler can bring nodes; one that merely watches nodes of others is no such thing."""
    if is_autoscaler_v2(fetch_from_server=True):
        return True
    driver: Any = global_worker
    deadline = time.monotonic() + FIRST_REPORT
    while time.monotonic() < deadline:
        status = json.loads(driver.gcs_client.internal_kv_get(STATUS, None) or b"{}")
        if kinds := (status.get("autoscaler_report") or {}).get("node_type_mapping"):
            return any(is_made_by_autoscaler(kind) for kind in kinds.values())
        time.sleep(LOOK)
    return False


def _first_nodes(wanted: Wanted, say: Say) -> list[Node]:
    """Wait for the first node that can work."""
    what = "GPU" if wanted.gpus else "CPU"
    asked = wanted.gpus or wanted.cpus or 1
    began = told = time.monotonic()
    while True:
        there = nodes()
        if any((node.gpus if wanted.gpus else node.cpus) >= 1 for node in there):
            return there
        stop_if_asked()
        now = time.monotonic()
        if now - began > LONGEST:
            raise SearchError(
                f"no node with a {what} has joined within {LONGEST / 60:.0f} minutes; `ray status` on the head says "
                "what the autoscaler was refused."
            )
        if told in {began, now} or now - told > PATIENCE:
            told = now
            say(f"waiting for the first of {asked} {what}(s): none is there yet, and the cluster was asked for them")
        time.sleep(LOOK)


def _standing(there: Sequence[Node], chosen: Resources) -> str:
    have = {"CPU": sum(int(node.cpus) for node in there), "GPU": sum(int(node.gpus) for node in there)}
    asked = {"CPU": chosen.wanted.cpus or 0, "GPU": chosen.wanted.gpus or 0}
    missing = [f"{asked[kind] - have[kind]} more {kind}(s)" for kind in have if asked[kind] > have[kind]]
    begins = f"begins with {have['CPU']} CPU(s) and {have['GPU']} GPU(s) on {len(there)} node(s)"
    return f"{begins}; waits for {' and '.join(missing)}, and uses them as they come" if missing else begins


def _unfit(there: Sequence[Node], gpus: bool, say: Say) -> dict[str, str]:
    """Return the nodes that cannot be used, and why; one that does not answer is used, which is said."""
    asked = {_probe(node, gpus): node.id for node in there}
    found, late = _answers(asked, PROBE_SECONDS)
    for one in late:
        ray.cancel(one)
        say(
            f"node {_address(asked[one])} did not answer within {PROBE_SECONDS:.0f} s, as where its GPU is busy, or "
            "where the path of its Python has a space, with which Ray starts nothing; it is used without having been "
            "looked at"
        )
    return found


def _probe(node: Node, gpus: bool) -> Any:
    """Look at a node, from there."""
    gpu = gpus and node.gpus >= 1
    probe: Any = ray.remote(num_cpus=0, max_retries=0)(look)
    there = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return probe.options(num_gpus=0.01 if gpu else 0, scheduling_strategy=there).remote(Build.here(), gpu)


def _answers(asked: Mapping[Any, str], seconds: float) -> tuple[dict[str, str], list[Any]]:
    """Wait for what probes find; return the nodes where something is wrong, and the probes that are late."""
    answered, late = ray.wait(list(asked), num_returns=len(asked), timeout=seconds) if asked else ([], [])
    found: dict[str, str] = {}
    for one in answered:
        try:
            problem = ray.get(one)
        except RayTaskError as error:  # it cannot even look
            why = first_line(error.cause).removeprefix("System error: ")
            problem = f"node {_address(asked[one])} cannot load what trials need: {why}"
        except RayError:  # the node has left meanwhile
            continue
        if problem:
            found[asked[one]] = problem
    return found, late


def _address(identifier: str) -> str:
    return next((node.address for node in nodes() if node.id == identifier), identifier)


class Joining:
    """Looks at nodes that join while trials run: those where something is wrong are left out from then on.

    Attributes:
        refused: identifiers of nodes that are left out.
    """

    def __init__(self, resources: Resources, say: Say) -> None:
        self.refused = list(resources.refused)
        self.say = say
        self._known = {node.id for node in resources.nodes if node.id} | {*self.refused}
        self._gpus = resources.gpus > 0
        self._looks = bool(self._known)  # no node joins a Ray that the search has started
        self._asked: dict[Any, str] = {}
        self._next = 0.0

    def look(self, patience: float = 0.0) -> None:
        """Look now and then, or, with patience, at once and for so many seconds."""
        now = time.monotonic()
        if not self._looks or (now < self._next and not patience):
            return
        self._next = now + AGAIN
        joined = [node for node in nodes() if node.id not in self._known]
        self._known |= {node.id for node in joined}
        self._asked |= {_probe(node, self._gpus): node.id for node in joined}
        found, late = _answers(self._asked, patience)
        self._asked = {one: self._asked[one] for one in late}
        for node, problem in found.items():
            self.refused.append(node)
            self.say(f"left out: {problem}")
