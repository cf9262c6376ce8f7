"""Machines of a cluster, as far as one machine can have them: each with a network and mounts of its own.

They hang on one bridge, as on a switch, from which one can be unplugged. The machine of the tests is one of them: it
has the bridge's own address.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from searches import PATIENCE, free_port, runs, wait_for

RAY = (sys.executable, "-m", "ray.scripts.scripts")
LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # networks of others are others
BRIDGE, SUBNET = f"wf{LANE}", f"10.197.{50 + LANE}"


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@dataclass
class Host:
    """A machine with a node of two CPUs.

    Attributes:
        name: of its network; that of its plug is the same.
        process: `ray start --block`, the parent of all others there.
    """

    name: str
    process: "subprocess.Popen[bytes]"

    def unplug(self) -> None:
        """Let no packet through, in either direction; nobody is told."""
        _ip(f"link set {self.name} nomaster")

    def plug_in(self) -> None:
        """Let packets through again."""
        _ip(f"link set {self.name} master {BRIDGE}")

    def stop(self) -> None:
        """Let everything stand still, as on a machine that swaps or is suspended."""
        for one in self._all():
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        for one in self._all():
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Switch it off."""
        for one in self._all():
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()

    def working(self, what: str) -> list[psutil.Process]:
        """Return the processes that do `what`."""
        return [one for one in self._all() if runs(one) and one.name().startswith(f"ray::{what}")]

    def _all(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            return [*top.children(recursive=True), top]
        return []


@dataclass
class Network:
    """The bridge, the machines that hang on it, and the head of their cluster on this one.

    Attributes:
        folder: for what nodes say.
        environment: of their processes.
        apart: a folder in whose place each machine has an empty one of its own.
    """

    folder: Path
    environment: Mapping[str, str]
    apart: Path
    port: int = field(default_factory=free_port)
    hosts: list[Host] = field(default_factory=list)
    heads: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{SUBNET}.1:{self.port}"

    def start_head(self) -> None:
        """Start a head of one CPU on this machine."""
        how = f"--head --port={self.port} --num-cpus=1 --node-ip-address={SUBNET}.1 --include-dashboard=false"
        # by default workers rank below every other process, and tests beside this one would starve them
        self.heads.append(self._start("head", [], f'{how} --system-config={{"worker_niceness":0}}'))

    def kill_head(self) -> None:
        """Kill the head, and all that runs on it."""
        head = psutil.Process(self.heads[-1].pid)
        for one in (*head.children(recursive=True), head):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.heads[-1].wait()

    def add(self) -> Host:
        """Plug in a machine with two CPUs, which joins the cluster."""
        number = len(self.hosts) + 2
        name = f"{BRIDGE}-{number}"
        _ip(f"netns add {name}")
        _ip(f"link add {name} type veth peer name eth0 netns {name}")
        _ip(f"link set {name} master {BRIDGE} up")
        for words in (f"addr add {SUBNET}.{number}/24 dev eth0", "link set eth0 up", "link set lo up"):
            _ip(f"-n {name} {words}")
        own = f'mount -t tmpfs tmpfs {shlex.quote(str(self.apart))} && exec "$@"'
        inside = ["ip", "netns", "exec", name, "sh", "-c", own, "sh"]
        how = f"--address={self.address} --num-cpus=2 --node-ip-address={SUBNET}.{number}"
        self.hosts.append(Host(name, self._start(name, inside, how)))
        return self.hosts[-1]

    def one(self) -> Host:
        """Return the newest machine, or another one where Ray has given that up: it may after half a minute."""
        return self.hosts[-1] if self.hosts and self.hosts[-1].process.poll() is None else self.add()

    def remove_all(self) -> None:
        """End all that runs, and unplug everything."""
        for host in self.hosts:
            host.kill()
            _take_away(host.name)
        if self.heads and self.heads[-1].poll() is None:
            self.kill_head()

    def _start(self, name: str, inside: list[str], how: str) -> "subprocess.Popen[bytes]":
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            words = [*inside, *RAY, "start", "--block", *how.split()]
            node = subprocess.Popen(words, env=dict(self.environment), stdout=output, stderr=output)
        wait_for(lambda: node.poll() is not None or "Ray runtime started" in log.read_text(), PATIENCE)
        assert node.poll() is None, log.read_text()
        return node


@contextmanager
def network(folder: Path, environment: Mapping[str, str], apart: Path) -> Generator[Network, None, None]:
    """Lay the bridge; skips a test where no network can be made."""
    if shutil.which("ip") is None or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("no network can be made here")
    _clear()
    _ip(f"link add {BRIDGE} type bridge")
    try:
        _ip(f"addr add {SUBNET}.1/24 dev {BRIDGE}")
        _ip(f"link set {BRIDGE} up")
        laid = Network(folder, environment, apart)
        try:
            yield laid
        finally:
            laid.remove_all()
    finally:
        _ip(f"link del {BRIDGE}")


def _clear() -> None:
    """Take away what a run left that was killed."""
    left = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout.split()
    for name in (one for one in left if one.startswith(f"{BRIDGE}-")):
        _take_away(name)
    with suppress(subprocess.CalledProcessError):  # there is none
        _ip(f"link del {BRIDGE}")


def _take_away(name: str) -> None:
    """Take a machine's network away; with the namespace alone, its plug would go some time later."""
    with suppress(subprocess.CalledProcessError):  # there is none
        _ip(f"link del {name}")
    _ip(f"netns del {name}")


def wait_out(seconds: float) -> None:
    """Let a time pass, which is what is tried."""
    time.sleep(seconds)  # the length of the outage is what is tried: there is no event to wait for
