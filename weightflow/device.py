"""Where tensors are computed: a device is always asked for, and never picked here."""

import re

import torch

from weightflow.errors import InputError


def find_device(asked: str | torch.device) -> torch.device:
    """Turn `cpu`, `cuda` or `cuda:1` into a device that is there.

    Raises:
        InputError: it has another name, or torch does not see it; the message says what torch sees.
    """
    name = str(asked)
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", name)
    if found is None:
        raise InputError(f"device `{name}` is not known; give cpu, cuda, or cuda:N with the number of a GPU.")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name != "cpu" and int(found[1] or 0) >= there:
        raise InputError(f"device `{name}` is not there: {_seen(there)}.")
    return torch.device(name)


def _seen(gpus: int) -> str:
    if gpus:
        names = ", ".join(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(gpus))
        return f"torch sees {names}; give one of these, or cpu"
    built = "" if torch.backends.cuda.is_built() else ", which is built without CUDA,"
    return f"torch {torch.__version__}{built} sees no GPU; give cpu"
