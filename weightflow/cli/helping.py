"""The text of `--help`: options in groups, for any width of the terminal, and no word is cut."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

WIDEST, NARROWEST = 100, 24
TWO_COLUMNS = 60  # from this width on, names stand beside what they mean
NAMES = 30  # columns for names, of which longer ones have a line to themselves
OPTIONS, ARGUMENTS, COMMANDS = "Options", "Arguments", "Commands"
HELP_NAMES = {"help_option_names": ["-h", "--help"]}  # `context_settings` of every command line
VERBATIM = "\b"  # begins a paragraph whose lines stay as they are, as in Click

Entry = tuple[str, str]


class Command(TyperCommand):
    """A command whose help is grouped by the panels of its options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write all of it."""
        formatter.write("\n".join(_page(self, ctx, [])) + "\n")


class Group(TyperGroup):
    """A command of commands; each is listed with the whole first sentence that it says of itself."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write all of it."""
        commands = [(name, _first_sentence(command.help or "")) for name, command in self.commands.items()]
        formatter.write("\n".join(_page(self, ctx, commands)) + "\n")


def _page(command: TyperCommand | TyperGroup, ctx: Any, commands: list[Entry]) -> Iterator[str]:
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    pieces = " ".join(command.collect_usage_pieces(ctx))
    yield from _wrapped(f"Usage: {ctx.command_path} {pieces}", width, hanging=4)
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ""
        yield from _paragraph(paragraph, width)
    groups: dict[str, list[Entry]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            usual = ARGUMENTS if parameter.param_type_name == "argument" else OPTIONS
            groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
    if commands:
        groups[COMMANDS] = commands
    for title in sorted(groups, key=lambda title: title == OPTIONS):  # what belongs to no group is least important
        yield from ("", f"{title}:")
        yield from _entries(groups[title], width)


def _paragraph(text: str, width: int) -> Iterator[str]:
    if not text.startswith(VERBATIM):
        yield from _wrapped(" ".join(text.split()), width, begin=2, hanging=2)
        return
    for line in text.removeprefix(VERBATIM).strip("\n").splitlines():
        *before, last = _wrapped(line, width - 2, begin=2, hanging=6)
        yield from (f"{part} \\" for part in before)  # so that it can be copied as it stands
        yield last


def _entries(entries: Iterable[Entry], width: int) -> Iterator[str]:
    for names, said in entries:
        meaning = " ".join(said.split())
        if width < TWO_COLUMNS:
            choices = names.replace("|", "| ") if max(map(len, names.split())) > width - 6 else names
            yield from _wrapped(choices, width, begin=2, hanging=6)
            yield from _wrapped(meaning, width, begin=6, hanging=6)
        elif len(names) + 4 <= NAMES:
            yield from _wrapped(meaning, width, begin=NAMES, hanging=NAMES, head=f"  {names}")
        else:
            yield from _wrapped(names, width, begin=2, hanging=6)
            yield from _wrapped(meaning, width, begin=NAMES, hanging=NAMES)


def _wrapped(text: str, width: int, begin: int = 0, hanging: int = 0, head: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=head.ljust(begin),
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _first_sentence(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n", maxsplit=1)[0].split())
