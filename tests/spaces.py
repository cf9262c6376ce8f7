"""What the tests of search spaces share: reading one from text, and how one that cannot be meant is refused."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from weightflow.errors import InputError
from weightflow.search.space.space import Space

Reader = Callable[[str], Space]


def space_reader(folder: Path, *how: Any) -> Reader:
    """Return what reads a space from text; `how` are the further arguments of `Space.read`."""

    def read(text: str) -> Space:
        file = folder / "space.yaml"
        file.write_text(dedent(text))
        return Space.read(file, *how)

    return read


def check_refused(read: Reader, text: str, message: str) -> None:
    """A space is refused in one line, which names its file."""
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "space.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)
