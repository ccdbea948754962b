"""TLS towards origins: what is refused when it is set, and what a server sees of it.

The server is Python's own, in memory, so that what it saw and whom it believed is said by code that
shares nothing with Twisted.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys

import pytest
from chains import authority, on_its_own
from cryptography import x509
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from streamer.downloaders.tls import OriginPolicy, TlsSettings, check_tls, read_certificates
from streamer.errors import ConfigurationError

ROOT = authority()
MIDDLE = ROOT.issue("one that signs for the authority", is_authority=True)
ORIGIN = ROOT.issue("an origin", alternatives=["origin.example", "192.0.2.1", "2001:db8::1"])
CLIENT = ROOT.issue("a client")
TRUSTING = TlsSettings(ca_cert=ROOT.pem)
STRANGER = authority("another authority").issue("a stranger", alternatives=["origin.example"])


# -- what is set


def identity(certificate, key):
    return TlsSettings(client_cert=certificate, client_key=key)


def encrypted(kind):
    return identity(CLIENT.pem, CLIENT.encrypted_key_pem(kind))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(TlsSettings(), id="nothing"),
        pytest.param(TlsSettings(ca_cert=ROOT.pem), id="ca"),
        pytest.param(TlsSettings(ca_cert=f"A comment\n{ROOT.pem}\n{MIDDLE.pem}\n"), id="bundle"),
        pytest.param(identity(CLIENT.pem, CLIENT.key_pem), id="certificate"),
        pytest.param(identity(CLIENT.pem + MIDDLE.pem, CLIENT.key_pem), id="chain"),
        pytest.param(TlsSettings(validation=False), id="no-validation"),
        pytest.param(TlsSettings(minimum="1.3"), id="minimum"),
        pytest.param(TlsSettings(maximum="1.2"), id="maximum"),
        pytest.param(TlsSettings(minimum="1.3", maximum="1.3"), id="only"),
        pytest.param(TlsSettings(ciphers="ECDHE+AESGCM:!AES128"), id="ciphers"),
    ],
)
def test_settings_that_can_work_are_accepted(settings):
    """Neither the check nor the policy finds a fault."""
    check_tls(settings)

    OriginPolicy(settings, lambda host, port: True)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (TlsSettings(ca_cert=""), "ca_cert: it holds no PEM certificate"),
        (TlsSettings(ca_cert="CA"), "ca_cert: it holds no PEM certificate"),
        (
            TlsSettings(ca_cert=ROOT.pem[:100]),
            "ca_cert: it holds a certificate that cannot be read",
        ),
        (
            TlsSettings(ca_cert=ROOT.pem + ROOT.key_pem),
            "ca_cert: it holds a private key, which does not belong here",
        ),
        (
            identity(CLIENT.key_pem + CLIENT.pem, CLIENT.key_pem),
            "client_cert: it holds a private key, which does not belong here",
        ),
        (identity(CLIENT.pem, None), "client_cert: needs a client_key beside it"),
        (identity(None, CLIENT.key_pem), "client_key: needs a client_cert beside it"),
        (
            identity(CLIENT.pem, "KEY"),
            "client_key: it holds no PEM private key that can be read",
        ),
        (
            identity(CLIENT.pem, CLIENT.pem),
            "client_key: it holds no PEM private key that can be read",
        ),
        (
            identity(MIDDLE.pem + CLIENT.pem, CLIENT.key_pem),
            "client_key: it does not belong to the first certificate of client_cert",
        ),
        (
            encrypted(PrivateFormat.PKCS8),
            "client_key: it is encrypted: store it without a pass phrase",
        ),
        (
            encrypted(PrivateFormat.TraditionalOpenSSL),
            "client_key: it is encrypted: store it without a pass phrase",
        ),
        (TlsSettings(minimum="1.1"), "minimum: must be one of 1.2, 1.3"),
        (TlsSettings(maximum="2"), "maximum: must be one of 1.2, 1.3"),
        (TlsSettings(minimum="1.3", maximum="1.2"), "minimum: is above the maximum"),
        (TlsSettings(ciphers="ROT13"), "ciphers: OpenSSL here knows none of them"),
        (TlsSettings(ciphers=""), "ciphers: OpenSSL here knows none of them"),
        (TlsSettings(ciphers="Ä"), "ciphers: OpenSSL here knows none of them"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, sentence):
    """The sentence names the setting and holds nothing of it; the policy does not begin either."""
    with pytest.raises(ConfigurationError) as checked:
        check_tls(settings)
    with pytest.raises(ConfigurationError):
        OriginPolicy(settings, lambda host, port: True)

    assert sentence == str(checked.value)


PROGRAM = """
import os, sys
from streamer.downloaders.tls import TlsSettings, check_tls
from streamer.errors import ConfigurationError
try:
    check_tls(TlsSettings(client_cert=os.environ["CERT"], client_key=os.environ["KEY"]))
except ConfigurationError as error:
    sys.stdout.write(str(error))
"""


def test_encrypted_key_is_refused_without_a_question():
    """A service has no terminal: its stdin is closed, and nobody would type a pass phrase."""
    environment = {"CERT": CLIENT.pem, "KEY": CLIENT.encrypted_key_pem()}
    program = subprocess.run(
        [sys.executable, "-c", "import os; os.close(0)\n" + PROGRAM],
        env=os.environ | environment,
        capture_output=True,
        start_new_session=True,
        text=True,
        timeout=60,
        check=True,
    )

    expected = "client_key: it is encrypted: store it without a pass phrase"
    assert (program.stdout, program.stderr) == (expected, "")


def test_certificates_of_a_bundle_are_all_read():
    """Twisted alone would read the first."""
    subjects = [found.getSubject().commonName for found in read_certificates(ROOT.pem + CLIENT.pem)]

    assert subjects == [b"an authority of a test", b"a client"]


def test_key_is_in_no_repr():
    """Settings may be logged."""
    shown = repr(identity(CLIENT.pem, CLIENT.key_pem))

    assert "PRIVATE" not in shown


# -- what a server sees


class Meeting:
    """One TLS connection between a policy's client and a server, in memory."""

    def __init__(self, policy, context, host="origin.example", port=443):
        self.name = None
        context.sni_callback = self._take_name
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self._to_server, self._to_client, server_side=True)
        creator = policy.creatorForNetloc(host.encode(), port)
        factory = TLSMemoryBIOFactory(creator, True, Factory.forProtocol(Protocol))
        self._protocol = factory.buildProtocol(None)
        self._transport = StringTransport()
        self._protocol.makeConnection(self._transport)
        self.server_error = None
        for _ in range(6):
            self._exchange()

    def _take_name(self, server, name, context):
        self.name = name

    def _exchange(self):
        self._to_server.write(self._transport.value())
        self._transport.clear()
        try:
            self.server.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.server_error = error
        if answer := self._to_client.read():
            self._protocol.dataReceived(answer)

    @property
    def is_agreed(self):
        """Whether the handshake is over and both are content."""
        return self.server_error is None and self.server.cipher() is not None

    @property
    def client(self):
        """The name in the certificate that the client has shown."""
        shown = self.server.getpeercert() or {}
        return next((value for ((key, value),) in shown.get("subject", ())), None)


def meet(settings, context, host="origin.example", port=443, presents=lambda host, port: True):
    return Meeting(OriginPolicy(settings, presents), context, host, port)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        pytest.param("origin.example", "origin.example", id="name"),
        pytest.param("ORIGIN.example", "ORIGIN.example", id="capitals"),
        pytest.param("origin.example.", "origin.example", id="trailing-dot"),
        pytest.param("192.0.2.1", None, id="rfc6066-3-ipv4"),
        pytest.param("2001:db8::1", None, id="rfc6066-3-ipv6"),
    ],
)
@pytest.mark.parametrize("validation", [True, False])
def test_host_is_asked_for_by_name_alone(tmp_path, host, name, validation):
    """RFC 6066 3: an address is not sent; verified or not, a server may have many names."""
    settings = TlsSettings(ca_cert=ROOT.pem, validation=validation)

    meeting = meet(settings, ORIGIN.server_context(tmp_path), host)

    assert (meeting.is_agreed, meeting.name) == (True, name)


@pytest.mark.parametrize(
    ("issued", "host"),
    [
        pytest.param(ORIGIN, "other.example", id="another-name"),
        pytest.param(ORIGIN, "sub.origin.example", id="name-below"),
        pytest.param(ORIGIN, "192.0.2.2", id="another-ipv4"),
        pytest.param(ORIGIN, "2001:db8::2", id="another-ipv6"),
        pytest.param(STRANGER, "origin.example", id="another-authority"),
        pytest.param(ROOT.issue("origin.example"), "origin.example", id="rfc9525-2-common-name"),
        pytest.param(CLIENT, "origin.example", id="no-name-at-all"),
    ],
)
@pytest.mark.parametrize("validation", [True, False])
def test_certificate_that_does_not_name_the_host_is_refused(tmp_path, issued, host, validation):
    """RFC 9525: unless the operator wants no verification."""
    settings = TlsSettings(ca_cert=ROOT.pem, validation=validation)

    meeting = meet(settings, issued.server_context(tmp_path), host)

    assert meeting.is_agreed is not validation


@pytest.mark.parametrize(
    ("name", "host"),
    [
        pytest.param("*.example.com", "a.example.com", id="rfc9525-6.3-wildcard"),
        pytest.param("*.Example.COM", "A.example.com", id="rfc9525-6.3-capitals"),
        pytest.param("*.example.com", "a.example.com.", id="wildcard-trailing-dot"),
        pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="rfc9525-6.3-a-label"),
        pytest.param("my_host.example", "my_host.example", id="underscore"),
        pytest.param("2001:db8::1", "2001:DB8:0::1", id="rfc5952-4-ipv6"),
    ],
)
def test_name_in_another_form_is_the_host(tmp_path, name, host):
    """RFC 9525 section 6.3."""
    issued = ROOT.issue("an origin", alternatives=[name])

    assert meet(TRUSTING, issued.server_context(tmp_path), host).is_agreed


@pytest.mark.parametrize(
    ("name", "host"),
    [
        pytest.param("*.example.com", "example.com", id="rfc9525-6.3-nothing-for-it"),
        pytest.param("*.example.com", "a.b.example.com", id="rfc9525-6.3-two-labels"),
        pytest.param("f*.example.com", "fa.example.com", id="rfc9525-6.3-part-of-a-label"),
        pytest.param("a.*.com", "a.example.com", id="rfc9525-6.3-not-the-first"),
        pytest.param("*.com", "example.com", id="below-a-top-level"),
        pytest.param("*", "host", id="everything"),
        pytest.param("*.example", "xn--bcher-kva.example", id="rfc9525-7.3-a-label"),
        pytest.param("origin.example\0.evil.example", "origin.example", id="nul"),
        pytest.param(x509.DNSName("192.0.2.1"), "192.0.2.1", id="rfc9525-6.4-text"),
        pytest.param(x509.DNSName("*.0.2.1"), "192.0.2.1", id="wildcard-of-addresses"),
        pytest.param("192.0.2.1", "::ffff:192.0.2.1", id="mapped"),
        pytest.param(
            x509.UniformResourceIdentifier("https://origin.example/"), "origin.example", id="uri"
        ),
    ],
)
def test_name_that_only_resembles_the_host_is_another(tmp_path, name, host):
    """RFC 9525 sections 6.3 and 6.4; no address is a name."""
    issued = ROOT.issue(host, alternatives=[name])

    assert not meet(TRUSTING, issued.server_context(tmp_path), host).is_agreed


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(x509.DNSName("192.0.2.1"), id="address-as-a-name"),
        pytest.param("*", id="wildcard-alone"),
        pytest.param("a.*.example", id="wildcard-within"),
        pytest.param(x509.UniformResourceIdentifier("urn:uuid:1"), id="uri"),
        pytest.param(x509.RFC822Name("origin@origin.example"), id="mail"),
        pytest.param(x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), id="identifier"),
    ],
)
def test_name_that_says_nothing_does_not_spoil_the_others(tmp_path, name):
    """RFC 9525 section 6.1: any one that matches will do."""
    issued = ROOT.issue("an origin", alternatives=[name, "origin.example"])

    assert meet(TRUSTING, issued.server_context(tmp_path)).is_agreed


@pytest.mark.parametrize("days", [(-2, -1), (1, 2)], ids=["expired", "not-yet"])
@pytest.mark.parametrize("whose", ["server", "authority"])
def test_certificate_of_another_time_is_refused(tmp_path, days, whose):
    """RFC 5280 section 6.1.3; that of an authority, too."""
    root = authority(days=days if whose == "authority" else (-1, 1))
    issued = root.issue(
        "an origin",
        alternatives=["origin.example"],
        days=days if whose == "server" else (-1, 1),
    )

    meeting = meet(TlsSettings(ca_cert=root.pem), issued.server_context(tmp_path))

    assert not meeting.is_agreed


@pytest.mark.parametrize(
    ("permitted", "excluded", "is_agreed"),
    [(["example"], None, True), (["other"], None, False), (None, ["example"], False)],
)
def test_constraints_of_an_authority_are_kept(tmp_path, permitted, excluded, is_agreed):
    """RFC 5280 section 4.2.1.10: it may sign for some names alone."""
    trees = [each and [x509.DNSName(name) for name in each] for each in (permitted, excluded)]
    bound = ROOT.issue("bound", is_authority=True, extensions=[x509.NameConstraints(*trees)])
    issued = bound.issue("an origin", alternatives=["origin.example"])

    meeting = meet(TRUSTING, issued.server_context(tmp_path, bound))

    assert meeting.is_agreed is is_agreed


def test_certificate_that_is_not_for_servers_is_refused(tmp_path):
    """RFC 5280 section 4.2.1.12: a client's is none, whatever its names."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    issued = ROOT.issue("a client", alternatives=["origin.example"], extensions=[usage])

    assert not meet(TRUSTING, issued.server_context(tmp_path)).is_agreed


def test_certificate_that_may_not_sign_signs_nothing(tmp_path):
    """RFC 5280 section 4.2.1.9: the origin's own is no authority."""
    issued = ORIGIN.issue("another origin", alternatives=["other.example"])

    assert not meet(TRUSTING, issued.server_context(tmp_path, ORIGIN), "other.example").is_agreed


@pytest.mark.parametrize(("host", "is_agreed"), [("origin.example", True), ("b.example", False)])
def test_certificate_that_signed_itself_may_be_trusted(tmp_path, host, is_agreed):
    """For its own names alone."""
    issued = on_its_own("an origin", alternatives=["origin.example"])

    meeting = meet(TlsSettings(ca_cert=issued.pem), issued.server_context(tmp_path), host)

    assert meeting.is_agreed is is_agreed


def test_certificate_that_signed_itself_is_trusted_by_nobody_else(tmp_path):
    """It is not the authority's."""
    issued = on_its_own("an origin", alternatives=["origin.example"])

    assert not meet(TRUSTING, issued.server_context(tmp_path)).is_agreed


def test_authority_below_another_may_be_trusted_alone(tmp_path):
    """Without its root, and no more than what it signed."""
    issued = MIDDLE.issue("an origin", alternatives=["origin.example"])
    settings = TlsSettings(ca_cert=MIDDLE.pem)

    its_own = meet(settings, issued.server_context(tmp_path))
    of_its_root = meet(settings, ORIGIN.server_context(tmp_path))

    assert (its_own.is_agreed, of_its_root.is_agreed) == (True, False)


def test_chain_of_a_server_is_followed(tmp_path):
    """The authority alone is trusted; the server sends what is between."""
    issued = MIDDLE.issue("an origin", alternatives=["origin.example"])

    with_chain = meet(TRUSTING, issued.server_context(tmp_path, MIDDLE))
    without = meet(TRUSTING, issued.server_context(tmp_path))

    assert (with_chain.is_agreed, without.is_agreed) == (True, False)


def test_own_authority_replaces_those_of_the_system(tmp_path):
    """Without it, the system's know nothing of this one."""
    meeting = meet(TlsSettings(), ORIGIN.server_context(tmp_path))

    assert meeting.is_agreed is False


def test_every_authority_of_a_bundle_is_trusted(tmp_path):
    """The second one signed."""
    settings = TlsSettings(ca_cert=authority("unused").pem + ROOT.pem)

    meeting = meet(settings, ORIGIN.server_context(tmp_path))

    assert meeting.is_agreed is True


IDENTIFIED = TlsSettings(ca_cert=ROOT.pem, client_cert=CLIENT.pem, client_key=CLIENT.key_pem)


@pytest.mark.parametrize("validation", [True, False])
def test_client_certificate_is_shown_where_it_may_be(tmp_path, validation):
    """The same host at another port is another server."""
    issued = MIDDLE.issue("a client of the middle")
    settings = TlsSettings(
        ca_cert=ROOT.pem,
        client_cert=issued.pem + MIDDLE.pem,
        client_key=issued.key_pem,
        validation=validation,
    )
    context = ORIGIN.server_context(tmp_path, clients=ROOT)
    policy = OriginPolicy(settings, lambda host, port: (host, port) == ("origin.example", 443))

    shown = [
        Meeting(policy, context, host, port).client
        for host, port in [
            ("origin.example", 443),
            ("origin.example", 8443),
            ("192.0.2.1", 443),
            ("origin.example", 443),
        ]
    ]

    assert shown == ["a client of the middle", None, None, "a client of the middle"]


def test_client_without_certificate_is_asked_nothing(tmp_path):
    """There is nothing to decide."""
    asked = []

    meeting = meet(TRUSTING, ORIGIN.server_context(tmp_path), presents=asked.append)

    assert (meeting.is_agreed, asked) == (True, [])


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({}, "TLSv1.3"),
        ({"minimum": "1.3"}, "TLSv1.3"),
        ({"maximum": "1.2"}, "TLSv1.2"),
        ({"maximum": "1.3"}, "TLSv1.3"),
    ],
)
def test_version_is_the_highest_that_is_allowed(tmp_path, settings, version):
    """A server that speaks both sees which."""
    meeting = meet(TlsSettings(ca_cert=ROOT.pem, **settings), ORIGIN.server_context(tmp_path))

    assert meeting.server.version() == version


def test_server_below_the_minimum_is_refused(tmp_path):
    """It speaks 1.2 at most."""
    context = ORIGIN.server_context(tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    meeting = meet(TlsSettings(ca_cert=ROOT.pem, minimum="1.3"), context)

    assert meeting.is_agreed is False


def test_ciphers_are_those_of_the_list(tmp_path):
    """The server would choose another one of its own."""
    cipher = "ECDHE-ECDSA-CHACHA20-POLY1305"
    settings = TlsSettings(ca_cert=ROOT.pem, maximum="1.2", ciphers=cipher)

    meeting = meet(settings, ORIGIN.server_context(tmp_path))

    assert meeting.server.cipher()[0] == cipher
