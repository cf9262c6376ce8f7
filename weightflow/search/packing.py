"""What a cluster gets of the working tree: the code and its settings, and nothing that is large or private."""

import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from weightflow.errors import InputError

UPLOAD_LIMIT = 100 * 2**20
"""Bytes that the head of a cluster takes at most; it answers more with a bare HTTP 413."""

_FOLDERS_LEFT_OUT = frozenset(
    (".git", ".venv", "venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache")
) | {".weightflow-cache", "runs", "mlruns", "mlartifacts", "build", "dist", "site"}
_FILES_LEFT_OUT = ("*.npy", "*.npz", "*.h5ad", "*.csv", "*.pyc", "mlflow.db*")


def pack_tree(root: Path, archive: Path, limit: int = UPLOAD_LIMIT) -> None:
    """Write the working tree at `root` to the zip file `archive`.

    Equal trees give equal bytes, so that Ray uploads a tree only once.

    Raises:
        InputError: the archive is larger than a head takes (the message names the biggest files), or git fails.
    """
    files = files_to_pack(root)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in files:
            entry = zipfile.ZipInfo(path.as_posix())  # dated 1980, whenever the file was written
            entry.external_attr = (root / path).stat().st_mode << 16
            target.writestr(entry, (root / path).read_bytes(), zipfile.ZIP_DEFLATED)
    size = archive.stat().st_size
    if size > limit:
        raise InputError(
            f"the working tree packs to {_mib(size)}, but a cluster takes {_mib(limit)} at most; move the "
            f"biggest files or have git ignore them: {_biggest(root, files)}."
        )


def files_to_pack(root: Path) -> list[Path]:
    """Return the files of the working tree, relative to `root`: no data, environments, stores or caches."""
    return sorted(path for path in _tree(root) if not _left_out(path) and (root / path).is_file())


def _tree(root: Path) -> Iterator[Path]:
    """Yield what git does not ignore; every file where git does not manage `root`."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode != 0:  # sending all files instead could send what git is told to ignore
            raise InputError(f"git cannot list the files of {root}: {listed.stderr.strip()}")
        yield from (Path(name) for name in listed.stdout.split("\0") if name)
        return
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _FOLDERS_LEFT_OUT]
        yield from (Path(folder, name).relative_to(root) for name in names)


def _left_out(path: Path) -> bool:
    # a folder `data` is data at the root alone: weightflow/data is code
    return (
        path.parts[0] == "data"
        or not _FOLDERS_LEFT_OUT.isdisjoint(path.parts)
        or any(path.match(pattern) for pattern in _FILES_LEFT_OUT)
    )


def _biggest(root: Path, files: list[Path]) -> str:
    sizes = sorted(((root / path).stat().st_size, path) for path in files)[-5:]
    return ", ".join(f"{path} ({_mib(size)})" for size, path in reversed(sizes))


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
