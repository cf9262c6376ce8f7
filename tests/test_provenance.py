"""What a report says of where it was made."""

import re

import pytest

from weightflow.search.results import provenance
from weightflow.search.shipped import CHECKOUT
from weightflow.version import VERSION


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/usr/bin/python3.11", str(CHECKOUT / "launch" / "tune.py"), "--name", "my cells"),
         "python launch/tune.py --name 'my cells'"),
        (("python", "-X", "dev", "-m", "weightflow", "score", "--data", "a.csv"),
         "python -m weightflow score --data a.csv"),
        (("/usr/bin/python3", "/usr/bin/weightflow", "tune", "--seed", "1"), "weightflow tune --seed 1"),
        (("python", "-m", "weightflow", "tune", "--mlflow", "http://me:secret@host:5000"),
         "python -m weightflow tune --mlflow http://me:***@host:5000"),
        (("python", "-m", "ipykernel_launcher", "-f", "/home/me/kernel.json"), ""),
    ],
)  # fmt: skip
def test_the_command_is_told_without_places_and_only_if_it_is_ours(arguments: tuple[str, ...], said: str) -> None:
    assert provenance.command(arguments) == said


def test_facts_name_date_machine_and_versions_and_no_place() -> None:
    facts = provenance.facts()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", facts["Date"])
    assert re.match(r"\w+ \w+, \d+ CPUs?", facts["Machine"])
    assert "/" not in "".join(facts.values())


@pytest.mark.parametrize(
    ("commit", "first"),
    [(f"{'a' * 40}-dirty", f"git checkout {'a' * 40}"), ("unknown", f"# version {VERSION} of weightflow")],
)
def test_what_to_type_begins_with_the_commit_or_else_the_version(
    commit: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "environment_facts", lambda: {"git_commit": commit})
    assert provenance.again() == (first, "pip install -c requirements.lock '.[all]'")
