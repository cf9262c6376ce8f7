"""Commands whose paths are those of this machine."""

from pathlib import Path
from typing import Any

from weightflow.cli.helping import Command
from weightflow.errors import InputError
from weightflow.places import was_uri


class LocalCommand(Command):
    """A command that refuses a URI where it reads or writes a path, which would make a folder named `s3:`."""

    def invoke(self, ctx: Any) -> Any:
        """Run it.

        Raises:
            InputError: it was given a URI for a path.
        """
        for name, value in ctx.params.items():
            if isinstance(value, Path) and was_uri(value):
                raise InputError(
                    f"`--{name.replace('_', '-')}` of `{ctx.info_name}` is a path of this machine, and `{value}` a "
                    "place in a store; URIs are for `--data`, and for `--out` of `tune`."
                )
        return super().invoke(ctx)
