"""Sentences for whoever reads them: a terminal, or a file."""

import textwrap

from rich.console import Console


def tell(console: Console, text: str, style: str = "") -> None:
    """Print a sentence: on a terminal in lines that end between words, elsewhere as one line.

    What is longer than a line by itself, such as an address, stays whole, so that it can be copied.
    """
    if console.is_terminal:
        text = textwrap.fill(text, console.width, break_long_words=False, break_on_hyphens=False)
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
