"""Being asked to end: by Ctrl-C, by SIGTERM, or by a terminal that is closed (SIGHUP). All three mean the same.

The answer comes at once: a `KeyboardInterrupt` wherever the process is. Only where trials run, whose ends are to be
written down first, is the request noted and looked at; asking a second time is answered at once there too.
"""

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOPPED = 130  # exit code, by which shells know a process that Ctrl-C ended
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))

_asked = threading.Event()  # of the process, as signals are


def listen() -> None:
    """Answer each request with a `KeyboardInterrupt`, and where nothing catches it, with one line.

    What the process was told to ignore stays ignored: Ctrl-C by a shell that starts it in the background, a closed
    terminal by nohup.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    sys.excepthook = _in_one_line


def asked_to_stop() -> bool:
    """Whether it was asked inside `noting`."""
    return _asked.is_set()


@contextmanager
def noting() -> Generator[None, None, None]:
    """Only note the first request, so that `asked_to_stop` tells it; a second one has its former effect."""
    _asked.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def note(_number: int, _frame: FrameType | None) -> None:
        _asked.set()
        give_back()

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


def _in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("stopped\n")
    else:
        sys.__excepthook__(kind, error, trace)
