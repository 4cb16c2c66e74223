"""Passwords and tokens in URLs are told to nobody, and not taken where they would be kept."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_workflow.basics.credentials import refuse_credentials, without_credentials
from mlflow_workflow.basics.errors import WorkflowError

USERS = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/?#:@"), min_size=1)
SECRETS = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters=":@"), min_size=1)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://me:secret@host/a.git#sub", "https://host/a.git#sub"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("git+https://me:secret@host/a.git@main", "git+https://host/a.git@main"),
        ("HTTP://me:p@ss@host:80", "HTTP://host:80"),
        ("https://me:p/a?s#s@host/a", "https://host/a"),
        ("https://me:se/cr@et@host.example.org:80/a", "https://host.example.org:80/a"),
        ("mysql://me:a/b#c@host/db", "mysql://me@host/db"),
        ("postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("redis://:secret@host", "redis://@host"),
        ("https://me:secret@host/?token=abc#x", "https://host/?token=***#x"),
        ("https://host/a?page=2&access_token=abc", "https://host/a?page=2&access_token=***"),
        ("https://host/#access_token=abc", "https://host/#access_token=***"),
        ("https://host/a?api_key=1&API-Key=2", "https://host/a?api_key=***&API-Key=***"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Credential=AK%2F&X-Amz-Security-Token=t"
            "&X-Amz-Signature=f00",
            "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Credential=***&X-Amz-Security-Token=***"
            "&X-Amz-Signature=***",
        ),
        ("https://a.windows.net/c?sv=1&sig=ab%2Fc&se=2", "https://a.windows.net/c?sv=1&sig=***&se=2"),
        ("https://host/k?X-Goog-Signature=ab", "https://host/k?X-Goog-Signature=***"),
        (
            "https://host/k?AWSAccessKeyId=A&Signature=x",
            "https://host/k?AWSAccessKeyId=***&Signature=***",
        ),
        ('{"a":"https://h/x","b":"s3://k:secret@b"}', '{"a":"https://h/x","b":"s3://k@b"}'),
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
        "https://host.example.org:8080/a@v1",
        "git+https://github.com/a/b@main",
        "https://host/a?tokenizer=bert&author=me&keys=3",
        "https://[::1]:5000/a@b",
        "sqlite:////folder/mlflow.db",
        "mail me: me@host, or see https://host",
        "",
    ],
)
def test_what_holds_no_credentials_stays_as_it_is(text: str) -> None:
    assert without_credentials(text) == text
    refuse_credentials("parameter 'input'", text)


@given(
    scheme=st.sampled_from(["http", "https", "s3", "mysql+pymysql"]),
    user=USERS,
    secret=SECRETS.filter(lambda text: not re.match(r"\d+[/?#]", text)),
)
def test_no_secret_is_left_of_any_url(scheme: str, user: str, secret: str) -> None:
    left = without_credentials(f"{scheme}://{user}:{secret}@host/path")
    assert left == without_credentials(left)
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
