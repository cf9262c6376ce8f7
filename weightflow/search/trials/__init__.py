"""The running of trials: by Ray Tune, until a budget, the deadline, the sampling floor or somebody ends them."""
