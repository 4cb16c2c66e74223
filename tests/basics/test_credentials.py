"""Passwords and tokens in URLs are told to nobody, and not taken where they would be kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_workflow.basics.credentials import refuse_credentials, without_credentials
from mlflow_workflow.basics.errors import WorkflowError

WORDS = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/?#:@"), min_size=1)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://me:secret@host/a.git#sub", "https://host/a.git#sub"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("HTTP://me:p@ss@host:80", "HTTP://host:80"),
        ("postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me@host/db"),
        ("redis://:secret@host", "redis://@host"),
        ("a: {u: 'https://me:secret@host'}, b: s3://k:secret@b", "a: {u: 'https://host'}, b: s3://k@b"),
    ],
)
def test_credentials_are_taken_out_of_a_url(text: str, left: str) -> None:
    assert without_credentials(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "ssh://git@host/a.git",
        "git@host:a.git",
        "abfss://container@account.dfs.core.windows.net/data",
        "https://host/a?to=me@host",
        "https://host:8080/a:b@c",
        "sqlite:////folder/mlflow.db",
        "mail me: me@host, or see https://host",
        "",
    ],
)
def test_what_holds_no_credentials_stays_as_it_is(text: str) -> None:
    assert without_credentials(text) == text
    refuse_credentials("parameter 'input'", text)


@given(scheme=st.sampled_from(["http", "https", "s3", "mysql+pymysql"]), user=WORDS, secret=WORDS)
def test_no_secret_is_left_of_any_url(scheme: str, user: str, secret: str) -> None:
    left = without_credentials(f"{scheme}://{user}:{secret}@host/path")
    assert left in (f"{scheme}://host/path", f"{scheme}://{user}@host/path")


def test_a_value_that_would_be_kept_with_its_password_is_refused_without_telling_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "f" * 32)
    with pytest.raises(WorkflowError) as refused:
        refuse_credentials("parameter 'input'", "https://me:secret@host/data")
    assert "parameter 'input' holds credentials" in str(refused.value)
    assert f"logged them on run {'f' * 32}" in str(refused.value)
    assert "secret" not in str(refused.value)
