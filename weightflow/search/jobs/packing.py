"""What a cluster gets of the working tree: what a search needs, and nothing that is large or private."""

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from weightflow.errors import InputError
from weightflow.masking import hide_password

UPLOAD_LIMIT = 100 * 2**20
"""Bytes that the head of a cluster takes at most; it answers more with a bare HTTP 413."""

FOLDERS = ("weightflow", "launch", "search_spaces")
FILES = ("mlflow.yml", "pyproject.toml")
KINDS = frozenset((".py", ".typed", ".ant", ".css", ".html", ".j2", ".js", ".sh", ".toml", ".yaml", ".yml"))
SETTINGS = frozenset((".yaml", ".yml", ".toml"))
_PRIVATE = re.compile(
    r"(?:^|[._-])(?:secrets?|credentials?|passwords?|passwd|tokens?|private|id_(?:rsa|dsa|ecdsa|ed25519))(?:[._-]|$)",
    re.IGNORECASE,
)


def pack_tree(root: Path, archive: Path, extra: Mapping[str, bytes] | None = None, limit: int = UPLOAD_LIMIT) -> None:
    """Write what a search needs of the working tree at `root` to the zip file `archive`.

    Equal trees give equal bytes, so that Ray uploads a tree only once. Passwords in settings are masked: those that are
    needed travel sealed, see `weightflow.search.jobs.sealed`.

    Args:
        root: of the tree.
        archive: to write.
        extra: contents of further files by name; only who submits the job may read them there.
        limit: bytes of the archive at most.

    Raises:
        InputError: the archive is larger than a head takes (the message names the biggest files), or git fails.
    """
    contents = {path.as_posix(): masked(root / path) for path in files_to_pack(root)}
    modes = {name: (root / name).stat().st_mode for name in contents}
    extra = extra or {}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in sorted({**contents, **extra}.items()):
            entry = zipfile.ZipInfo(name)  # dated 1980, whenever the file was written
            entry.external_attr = (0o100600 if name in extra else modes[name]) << 16
            target.writestr(entry, content, zipfile.ZIP_DEFLATED)
    size = archive.stat().st_size
    if size > limit:
        raise InputError(
            f"what a search needs packs to {_mib(size)}, but a cluster takes {_mib(limit)} at most; move the biggest "
            f"files or have git ignore them: {_biggest({**contents, **extra})}."
        )


def files_to_pack(root: Path) -> list[Path]:
    """Return the files that a search needs, relative to `root`: the package, what starts it, spaces, and settings.

    Nothing hidden, nothing that git ignores, nothing whose name speaks of passwords or keys, and no link that leads to
    anything else.
    """
    root = root.resolve()
    return sorted(path for path in _tree(root) if _needed(path) and _is_inside(root, path))


def _needed(path: Path) -> bool:
    here = path.as_posix() in FILES or (path.parts[0] in FOLDERS and len(path.parts) > 1 and path.suffix in KINDS)
    hidden = any(part.startswith(".") for part in path.parts)
    return here and not hidden and not any(_PRIVATE.search(part) for part in path.parts)


def _is_inside(root: Path, path: Path) -> bool:
    """Tell whether a path is a file, and, where links lead elsewhere, that they lead to what is needed too."""
    target = (root / path).resolve()
    return target.is_file() and target.is_relative_to(root) and _needed(target.relative_to(root))


def _tree(root: Path) -> Iterator[Path]:
    """Yield what git does not ignore; every file where git does not manage `root`."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode != 0:  # sending all files instead could send what git is told to ignore
            raise InputError(f"git cannot list the files of {root}: {listed.stderr.strip()}")
        yield from (Path(name) for name in dict.fromkeys(listed.stdout.split("\0")) if name)
        return
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder) != root or name in FOLDERS]
        yield from (Path(folder, name).relative_to(root) for name in names)


def masked(file: Path) -> bytes:
    """Return the content of a file; that of one with settings without passwords."""
    content = file.read_bytes()
    if file.suffix not in SETTINGS:
        return content
    return hide_password(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _biggest(contents: Mapping[str, bytes]) -> str:
    sizes = sorted(((len(content), name) for name, content in contents.items()), reverse=True)[:5]
    return ", ".join(f"{name} ({_mib(size)})" for size, name in sizes)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
