"""What something is, in a few lines: for the prompt and for Jupyter."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape

Facts = Sequence[tuple[str, str]]


class Carded(ABC):
    """What is shown by facts about it instead of by all that it holds."""

    def __repr__(self) -> str:
        return as_text(*self._card())

    def _repr_html_(self) -> str:
        return as_html(*self._card())

    @abstractmethod
    def _card(self) -> tuple[str, Facts]:
        """Return a title and the facts."""


def as_text(title: str, facts: Facts) -> str:
    """Write a fact a line."""
    width = max(len(name) for name, _ in facts)
    return "\n".join([title, *(f"  {name:<{width}}  {said}" for name, said in facts)])


def as_html(title: str, facts: Facts) -> str:
    """Write a table."""
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(said)}</td></tr>'
        for name, said in facts
    )
    return f"<table><caption><b>{escape(title)}</b></caption><tbody>{rows}</tbody></table>"
