"""Which origin may be told what (RFC 9110 section 4.3.1, invariant 6)."""

from __future__ import annotations

import pytest

from streamer.downloaders.credentials import Credentials, basic, origin_of

SECRET = "s3cret-pa55"
PLAIN = ("X-Client", "streamer")
CREDENTIALS = Credentials(
    own=origin_of("https://h/repo"),
    further=frozenset({origin_of("https://cdn:8443")}),
    authorization=basic("me", SECRET),
    secret_fields=(("X-Token", SECRET),),
    fields=(PLAIN,),
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://h/", True, id="own"),
        pytest.param("HTTPS://H:443/x?y", True, id="rfc9110-4.2.3-other-words"),
        pytest.param("https://cdn:8443/x", True, id="further"),
        pytest.param("http://h/", False, id="other-scheme"),
        pytest.param("https://h:8443/", False, id="other-port"),
        pytest.param("https://cdn/", False, id="further-at-another-port"),
        pytest.param("https://x.h/", False, id="below"),
        pytest.param("https://hh/", False, id="same-beginning"),
        pytest.param("https://h@evil/", False, id="user-info"),
        pytest.param("https://h:x/", False, id="no-port"),
        pytest.param("https://[/", False, id="no-url"),
        pytest.param("ftp://h/", False, id="no-http"),
    ],
)
def test_origin_is_trusted_where_the_importer_says_so(url, expected):
    """By scheme, host and port together."""
    assert expected == CREDENTIALS.is_trusted(url)


def test_secrets_go_to_trusted_origins_alone():
    """What is not secret goes to all."""
    trusted = dict(CREDENTIALS.fields_for("https://cdn:8443/f"))

    assert trusted == {
        "X-Client": "streamer",
        "X-Token": SECRET,
        "Authorization": basic("me", SECRET),
    }
    assert CREDENTIALS.fields_for("https://other/f") == (PLAIN,)


def test_token_takes_the_place_of_other_credentials_and_is_a_secret_itself():
    """RFC 6750 2.1; there is one Authorization."""
    trusted = [
        value
        for name, value in CREDENTIALS.fields_for("https://h/f", token="t")
        if name == "Authorization"
    ]

    assert trusted == ["Bearer t"]
    assert CREDENTIALS.fields_for("https://other/f", token="t") == (PLAIN,)


@pytest.mark.parametrize(
    ("authorization", "secret_fields", "expected"),
    [
        pytest.param(None, (), True, id="nobody"),
        pytest.param(basic("me", "x"), (), True, id="basic"),
        pytest.param("Bearer x", (), False, id="bearer"),
        pytest.param(None, (("authorization", "x"),), False, id="a-field-of-its-own"),
    ],
)
def test_tokens_are_fetched_where_the_operator_did_not_say_what_to_show(
    authorization, secret_fields, expected
):
    """A token of the operator's own is not shown to a token service."""
    own = origin_of("https://h/")

    credentials = Credentials(own, authorization=authorization, secret_fields=secret_fields)

    assert expected == credentials.takes_tokens


def test_credentials_do_not_show_themselves():
    """Invariant 9."""
    assert SECRET not in repr(CREDENTIALS)
    assert "Basic" not in repr(CREDENTIALS)


def test_origin_is_written_with_its_port():
    """As operators read it; an IPv6 address in brackets."""
    assert str(origin_of("https://[2001:DB8::1]/x")) == "https://[2001:db8::1]:443"
