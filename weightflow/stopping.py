"""Being asked to end: by Ctrl-C, by SIGTERM, or by a terminal that is closed (SIGHUP). All three mean the same.

The answer comes at once: a word, and a `KeyboardInterrupt` wherever the process is. Only where something is written
that must be whole is the request noted and looked at between two writes; asking a second time is answered there too.
"""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import NoReturn

STOPPED = 130  # exit code, by which shells know a process that Ctrl-C ended
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))

_asked = threading.Event()  # of the process, as signals are


def listen(word: str = "stopping") -> None:
    """Answer each request with a word on stderr and a `KeyboardInterrupt`, which needs no traceback.

    What the process was told to ignore stays ignored: Ctrl-C by a shell that starts it in the background, a closed
    terminal by nohup.
    """

    def answer(_number: int, _frame: FrameType | None) -> NoReturn:
        _say(word)
        raise KeyboardInterrupt

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, answer)
    sys.excepthook = _without_trace


def stop_if_asked() -> None:
    """End here if a request was noted.

    Raises:
        KeyboardInterrupt: there was one.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


def end_now() -> NoReturn:
    """End a process that was asked to: unloading torch, Ray and MLflow first would take seconds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads any more
            stream.flush()
    os._exit(STOPPED)


@contextmanager
def noting() -> Generator[None, None, None]:
    """Only say that the first request was heard, and note it for `stop_if_asked`; a second one has its former effect.

    What is noted is forgotten when the next `noting` begins.
    """
    _asked.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def note(_number: int, _frame: FrameType | None) -> None:
        give_back()
        _asked.set()
        _say("stopping")

    def give_back() -> None:
        for number in heard:
            signal.signal(number, before[number])

    for number in heard:
        signal.signal(number, note)
    try:
        yield
    finally:
        give_back()


@contextmanager
def unheard_by_children() -> Generator[None, None, None]:
    """Start processes that do not hear of a closed terminal: their parent, which does, ends them in good order.

    Handlers that a library puts in the place of ours meanwhile are taken back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    blocked = {number for number in SIGNALS if number not in {signal.SIGINT, signal.SIGTERM}}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _say(word: str) -> None:
    """Write to the descriptor: the stream may be in the middle of a write, which a signal handler must not enter."""
    with suppress(OSError):  # a terminal that is closed
        os.write(2, f"{word}\n".encode())


def _without_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
