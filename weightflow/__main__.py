"""`python -m weightflow`."""

from weightflow.stopping import listen

listen()  # first of all: the imports below take a second, in which Ctrl-C may be pressed too

from weightflow.cli import app
from weightflow.cli.running import run

run(app)
