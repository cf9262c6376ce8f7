"""Optuna's study of a search: on disk, so that whatever ends a process, the next one goes on from there."""
