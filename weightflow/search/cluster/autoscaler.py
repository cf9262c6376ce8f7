"""Telling nodes that an autoscaler made from those that somebody started by hand."""

import re

_WATCHED = re.compile(r"node_[0-9a-f]{32,}")  # what Ray's autoscaler calls the kind of a node that it merely watches


def is_made_by_autoscaler(kind: str) -> bool:
    """Tell whether a kind of node in the report of Ray's autoscaler is one that it can make."""
    return _WATCHED.fullmatch(kind) is None
