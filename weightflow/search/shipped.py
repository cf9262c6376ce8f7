"""Files that the package is used with, and that are not part of it: the default space, and where runs are tracked."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from weightflow.errors import WeightFlowError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent
SHARE = "share/weightflow"  # where a wheel leaves them, below the environment; see pyproject.toml


def shipped_file(name: str) -> Path:
    """Return the file `name` of the checkout, or what the wheel has left in its place.

    Raises:
        WeightFlowError: it is neither here nor there, because the installation is damaged.
    """
    if (CHECKOUT / name).is_file():
        return CHECKOUT / name
    try:
        installed = files("weightflow") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.as_posix().endswith(f"{SHARE}/{name}"):
            return Path(str(file.locate())).resolve()
    raise WeightFlowError(f"`{name}` was not installed with WeightFlow; install it again, or name a file of your own.")
