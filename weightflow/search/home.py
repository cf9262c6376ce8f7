"""Where searches live: a folder of this machine, which may be copied to an object store as a search goes on.

The study is written many times a second, line by line, and locked; no object store can do that. So a search whose
`--out` is a URI lives in a folder of the machine that drives it, and a thread copies there whatever has changed. After
the loss of that machine, another one goes on from the copy, which is a few seconds old.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from weightflow.errors import InputError, SearchError
from weightflow.places import Place, is_uri, parted
from weightflow.search.folder import CHECKPOINTS, NOTES, STUDY
from weightflow.search.say import Say

PAUSE = 2.0  # seconds between two looks for what has changed
SHARE = 4  # a copy that took long is followed by a pause this many times as long
STAYS = rf"{CHECKPOINTS}|{NOTES}(-\d+)?"  # what nobody needs who goes on from the copy
LAST_TRIES = 3  # at the end, after which the copy in the folder is all there is


@dataclass(frozen=True)
class Home:
    """Where searches live.

    Attributes:
        folder: of this machine; each search has one below.
        place: where that is copied to, if it is.
    """

    folder: Path
    place: Place | None = None

    @classmethod
    def at(cls, out: str | Path) -> "Home":
        """Return the home in a folder, or the one whose copy is at a URI.

        Raises:
            InputError: the URI cannot be used.
        """
        if not is_uri(out):
            return cls(Path(out).expanduser().resolve())
        place = Place.at(str(out))
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        stem, digest = re.sub(r"\W+", "-", place.path), hashlib.sha256(place.uri.encode()).hexdigest()[:8]
        return cls((caches / "weightflow" / "searches" / f"{stem[-60:].strip('-')}-{digest}").resolve(), place)

    def begin(self, name: str) -> None:
        """Make sure that the store has no search of this name.

        Raises:
            InputError: it has one.
        """
        if self.place is not None and (self.place / name).listed():
            raise InputError(
                f"`{(self.place / name).uri}` exists already; choose another `--name`, or go on with `--resume {name}`."
            )

    def bring(self, name: str) -> None:
        """Bring a search from the store, unless the folder of this machine is as far.

        Raises:
            InputError: the store has none and the folder neither, or each has trials that the other one lacks.
        """
        if self.place is None:
            return
        there, here = self.place / name, self.folder / name
        listed = there.listed()
        if STUDY not in listed:
            if (here / STUDY).is_file():
                return
            raise InputError(f"`{there.uri}` holds no search that could go on; start one with `--name {name}`.")
        here.mkdir(parents=True, exist_ok=True)
        draft = here / f".{STUDY}.part"
        (there / STUDY).bring(draft)
        theirs, ours = draft.read_bytes(), (here / STUDY).read_bytes() if (here / STUDY).is_file() else b""
        if ours.startswith(theirs):
            draft.unlink()
            return
        if not theirs.startswith(ours):
            draft.unlink()
            raise InputError(
                f"`{there.uri}` and `{here}` have gone on from one search apart from each other; move the one that is "
                "not to go on to another name."
            )
        for path in listed.keys() - {STUDY}:
            (here / path).parent.mkdir(parents=True, exist_ok=True)
            (there / path).bring(here / path)
        draft.replace(here / STUDY)  # last: what is cut off here is brought again

    @contextmanager
    def copied(self, name: str, say: Say) -> Generator[None, None, None]:
        """Copy the search to the store for the time of a block, and once more at its end.

        Raises:
            SearchError: the last copy failed; everything is in the folder of this machine.
        """
        if self.place is None:
            yield
            return
        mirror = Mirror(self.folder / name, self.place / name)
        say(f"{mirror.place.uri}: the search lives in {mirror.folder}, and is copied there as it goes on")
        stop = threading.Event()
        thread = threading.Thread(target=mirror.follow, args=(stop, say), name="mirror", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:  # a stop asked for, too; raised again below
            _stop(thread, stop)
            with suppress(InputError):  # what ended the search is what its user must hear of
                mirror.copy()
            raise
        _stop(thread, stop)
        _finish(mirror, name)
        say(f"all of it is at {mirror.place.uri}")


def _stop(thread: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    thread.join()


def _finish(mirror: "Mirror", name: str) -> None:
    for tries_left in reversed(range(LAST_TRIES)):
        try:
            mirror.copy()
            return
        except InputError as error:
            if not tries_left:
                raise SearchError(
                    f"{error}. The search is whole in `{mirror.folder}`; `--resume {name}` with the same `--out` "
                    "copies it once the store is there again."
                ) from None
            time.sleep(PAUSE)  # a store that is away for a moment tells nobody when it is back


def found(place: str) -> Path:
    """Return the folder of a search; one that is named by its URI is brought from the store.

    Raises:
        InputError: the store cannot be used, or has no such search.
    """
    if not is_uri(place):
        return Path(place)
    out, name = parted(place)
    home = Home.at(out)
    home.bring(name)
    return home.folder / name


@dataclass
class Mirror:
    """The copy of a folder in a store.

    Attributes:
        folder: what is copied.
        place: to where.
    """

    folder: Path
    place: Place
    _sent: dict[str, tuple[int, int]] = field(default_factory=dict)

    def follow(self, stop: threading.Event, say: Say) -> None:
        """Copy whatever changes until `stop` is set; say when the store is away, and when it is there again."""
        away, pause = False, PAUSE
        while not stop.wait(pause):
            began = time.monotonic()
            try:
                self.copy()
            except InputError as error:
                if not away:
                    say(f"{error}; the search goes on, and is copied when the store is there again")
                away = True
            else:
                if away:
                    say(f"{self.place.uri} is there again, and has all that was missing")
                away = False
            pause = max(PAUSE, SHARE * (time.monotonic() - began))

    def copy(self) -> None:
        """Send what has changed since it was sent last; what is gone here stays there.

        Raises:
            InputError: the store cannot be used; what was sent is remembered.
        """
        for path, state in self._found().items():
            if self._sent.get(path) != state:
                self._send(path)
                self._sent[path] = state

    def _send(self, path: str) -> None:
        try:
            (self.place / path).send(self.folder / path)
        except FileNotFoundError:
            return  # it was replaced, or removed, since it was found: the next look tells

    def _found(self) -> dict[str, tuple[int, int]]:
        """Return what each file is known by; checkpoints of running trials, Ray's notes, locks and drafts stay here."""
        found: dict[str, tuple[int, int]] = {}
        for path in sorted(self.folder.rglob("*")):
            inner = path.relative_to(self.folder)
            if re.fullmatch(STAYS, inner.parts[0]) or path.name.startswith(".") or not path.is_file():
                continue
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            found[inner.as_posix()] = facts.st_mtime_ns, facts.st_size
        return found
