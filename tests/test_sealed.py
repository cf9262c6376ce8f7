"""Passwords: masked in whatever people read, and sealed on their way to a cluster."""

from pathlib import Path

import pytest
from cryptography.fernet import InvalidToken

from weightflow.errors import InputError
from weightflow.masking import hide_password, without_account
from weightflow.search.jobs.sealed import FILE, URI, seal, settings_to_send, take_up, unseal

PASSWORD, TOKEN = "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("http://me:pass@host:5000", "http://me:***@host:5000"),
        ("postgresql+psycopg2://me:pa/ss@host/runs", "postgresql+psycopg2://me:***@host/runs"),
        ("postgresql://me:p@ss@host/runs", "postgresql://me:***@host/runs"),
        ("mysql://me:p@/:ss@host/runs?ssl=on", "mysql://me:***@host/runs?ssl=on"),
        ("https://ghp_abcdef@host/mlflow", "https://***@host/mlflow"),
        ("postgresql://host/runs?user=me&password=pass", "postgresql://host/runs?user=me&password=***"),
        ("http://host/?access_token=pass&x=1", "http://host/?access_token=***&x=1"),
        ("postgresql://me@host/runs", "postgresql://me@host/runs"),
        ("http://:pass@host", "http://:***@host"),
    ],
)
def test_a_password_is_masked_wherever_a_uri_can_hold_one(uri: str, masked: str) -> None:
    assert hide_password(uri) == masked
    assert hide_password(f"cannot reach `{uri}`, gave up") == f"cannot reach `{masked}`, gave up"


@pytest.mark.parametrize("account", ["", "me@", "me:pass@", ":pass@", "ghp_abcdef@", "me:p@/:ss@"])
def test_a_link_to_be_opened_holds_no_account(account: str) -> None:
    assert without_account(f"http://{account}host:5057/mlflow") == "http://host:5057/mlflow"


@pytest.mark.parametrize("text", ["sqlite:////home/a@b/mlflow.db", "http://host:5000/#/experiments/1", "s3://bucket/a"])
def test_what_holds_no_password_is_left_as_it_is(text: str) -> None:
    assert hide_password(text) == text


def test_the_password_of_this_process_is_masked_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "hunter22")
    assert hide_password("login of me with hunter22 failed") == "login of me with *** failed"


def test_what_is_sealed_opens_with_the_same_token_alone() -> None:
    sealed = seal({URI: "http://me:pass@host"}, "a" * 64)
    assert b"pass" not in sealed
    assert unseal(sealed, "a" * 64) == {URI: "http://me:pass@host"}
    with pytest.raises(InvalidToken):
        unseal(sealed, "b" * 64)


def test_a_driver_takes_up_what_was_sealed_and_says_so_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "before")
    take_up(tmp_path)  # nothing was sent
    (tmp_path / FILE).write_bytes(seal({PASSWORD: "sent"}, "a" * 64))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "b" * 64)
    with pytest.raises(InputError, match="is not the one that they were sealed with"):
        take_up(tmp_path)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    take_up(tmp_path)
    assert hide_password("sent") == "***"


@pytest.mark.parametrize(
    ("mlflow", "environment", "sent"),
    [
        ("sqlite:///mlflow.db", {}, {}),
        ("postgresql://me:p@db/runs", {}, {URI: "postgresql://me:p@db/runs"}),
        ("sqlite:///mlflow.db", {URI: "databricks"}, {URI: "databricks"}),
        ("postgresql://me:p@db/runs", {URI: "http://host"}, {URI: "http://host"}),
        ("postgresql://me:p@db/runs", {URI: "sqlite:////home/me/runs.db"}, {URI: "postgresql://me:p@db/runs"}),
        (None, {PASSWORD: "p", TOKEN: "t", "AWS_SECRET_ACCESS_KEY": "s"}, {PASSWORD: "p", TOKEN: "t"}),
        (None, {"MLFLOW_TRACKING_SERVER_CERT_PATH": "/home/me/ca.pem", PASSWORD: " "}, {}),
        (None, {"MLFLOW_S3_ENDPOINT_URL": "http://s3"}, {"MLFLOW_S3_ENDPOINT_URL": "http://s3"}),
    ],
)
def test_settings_travel_whole_and_those_of_this_machine_stay(
    mlflow: str | None, environment: dict[str, str], sent: dict[str, str]
) -> None:
    assert settings_to_send(mlflow, environment) == sent
