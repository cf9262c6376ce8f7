"""`python -m weightflow`."""

from weightflow.cli import app, run

run(app)
