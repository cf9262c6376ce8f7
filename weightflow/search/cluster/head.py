"""The head of the cluster, without which nothing goes on.

Where it is lost, calls into Ray hang and hear no Ctrl-C, and after a minute Ray ends the process with words of its own.
They say neither that all is kept nor how to go on; so the head is watched, and the process ended a little earlier.
"""

import os
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import ray

PAUSE = 4.0  # seconds between two knocks
TIMEOUT = 1.0
MISSED = 10  # knocks in a row: 40 to 50 seconds; Ray itself waits for 60
FAILED = 1  # exit code


@contextmanager
def watched(lost: Callable[[str], object]) -> Generator[None, None, None]:
    """Watch the head for the time of a `with` block.

    Args:
        lost: told what happened, in a sentence without its end, just before the process is ended.
    """
    address, over = ray.get_runtime_context().gcs_address, threading.Event()

    def watch() -> None:
        missed = 0
        while missed < MISSED:
            if over.wait(PAUSE):
                return
            missed = 0 if answers(address) else missed + 1
        lost(f"the head of the cluster, {address}, has not answered for {MISSED * PAUSE:.0f} s")
        os._exit(FAILED)

    if answers(address):  # or else it cannot be reached from here that way
        threading.Thread(target=watch, name="weightflow-head", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def answers(address: str) -> bool:
    """Whether anybody listens at `HOST:PORT`."""
    try:
        knock(address, TIMEOUT)
    except OSError:
        return False
    return True


def knock(address: str, timeout: float) -> None:
    """Connect to `HOST:PORT`, and leave again.

    Raises:
        OSError: nobody listens there.
        ValueError: it is no such address.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
