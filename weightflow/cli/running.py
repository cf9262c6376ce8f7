"""How a command line runs, and how it ends."""

import sys
from collections.abc import Callable
from typing import NoReturn

from weightflow.errors import InputError, WeightFlowError
from weightflow.stopping import STOPPED, end_now, listen
from weightflow.streams import outlive_readers


def run(application: Callable[[], object]) -> NoReturn:
    """Run a command line; what the user did wrong is printed alone on stderr, with exit code 2.

    Foreseen errors that are not the user's are printed likewise, with exit code 1; all others keep their traceback. Who
    asks it to stop is answered by a word and exit code 130.
    """
    listen()
    outlive_readers()
    try:
        application()
    except WeightFlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)
    except SystemExit as end:
        if end.code == STOPPED:
            end_now()
        raise
    sys.exit(0)
