"""Every random number of the package comes from one seed and a purpose.

`generator(7, "bridge", 3)` and `generator(7, "trial", 3)` are independent streams, so that adding a draw in one place
changes nothing in another. Nothing here touches the global random state.
"""

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and on each word of `purpose`."""
    text = "\x1f".join([str(seed), *(str(word) for word in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a NumPy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, *purpose))
