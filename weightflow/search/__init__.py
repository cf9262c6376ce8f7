"""The Ray-distributed hyperparameter search."""
