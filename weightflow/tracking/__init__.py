"""What MLflow remembers of a search: one run for the search, one nested run for each trial. Only the driver writes.

Importing this package sets, where the user has not, environment variables that MLflow reads when it is imported:
nothing calls home, a server that does not answer is given up on soon, and the terminal is left to the search.
"""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# MLflow's own 7 retries of 120 s each would take a quarter of an hour
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.datasets import FIT, HELD_OUT, TEST
from weightflow.tracking.facts import DataPart, RunFacts, environment_facts
from weightflow.tracking.later import LaterRun, open_run
from weightflow.tracking.results import Results
from weightflow.tracking.search_run import SearchRun
from weightflow.tracking.sync import sync

# What goes wrong reaches the user once and in words (see `Link`), not as the tracebacks and retries of these.
for _name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

__all__ = [
    "FIT",
    "HELD_OUT",
    "TEST",
    "DataPart",
    "LaterRun",
    "Results",
    "RunFacts",
    "SearchRun",
    "TrackingConfig",
    "environment_facts",
    "open_run",
    "sync",
]
