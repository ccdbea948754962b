"""Which addresses URLs learned from origins may lead to."""

from __future__ import annotations

import pytest

from streamer.downloaders.addresses import anywhere, is_public, may_be_public

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(PUBLIC, id="ipv4"),
        pytest.param("1.1.1.1", id="ipv4-low"),
        pytest.param("172.32.0.1", id="rfc1918-3-just-beyond"),
        pytest.param("100.128.0.1", id="rfc6598-7-just-beyond"),
        pytest.param("223.255.255.255", id="rfc5771-3-just-below"),
        pytest.param(PUBLIC_6, id="ipv6"),
        pytest.param("2a00::1", id="ipv6-europe"),
        pytest.param("::ffff:93.184.216.34", id="rfc4291-2.5.5.2-mapped"),
        pytest.param("64:ff9b::5db8:d822", id="rfc6052-2.1-nat64"),
        pytest.param("2002:5db8:d822::1", id="rfc3056-2-6to4"),
        pytest.param("2001:0:5db8:d822:0:0:a247:27dd", id="rfc4380-4-teredo"),
    ],
)
def test_address_of_the_whole_internet_is_public(address):
    """Anybody may send packets there."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="rfc1122-3.2.1.3-loopback"),
        pytest.param("127.255.255.254", id="rfc1122-3.2.1.3-loopback-end"),
        pytest.param("0.0.0.0", id="rfc1122-3.2.1.3-unspecified"),
        pytest.param("0.1.2.3", id="rfc1122-3.2.1.3-this-network"),
        pytest.param("10.0.0.1", id="rfc1918-3-ten"),
        pytest.param("172.16.0.1", id="rfc1918-3-begin"),
        pytest.param("172.31.255.255", id="rfc1918-3-end"),
        pytest.param("192.168.1.1", id="rfc1918-3-192"),
        pytest.param("100.64.0.1", id="rfc6598-7-begin"),
        pytest.param("100.127.255.255", id="rfc6598-7-end"),
        pytest.param("169.254.169.254", id="rfc3927-2.1-link-local"),
        pytest.param("192.0.0.1", id="rfc6890-2.2.2-protocols"),
        pytest.param("192.0.0.9", id="rfc7723-4.1-protocols"),
        pytest.param("192.0.2.1", id="rfc5737-3-documentation"),
        pytest.param("198.51.100.1", id="rfc5737-3-documentation-2"),
        pytest.param("203.0.113.1", id="rfc5737-3-documentation-3"),
        pytest.param("198.18.0.1", id="rfc2544-c.2.2-benchmarks"),
        pytest.param("192.88.99.1", id="rfc7526-6to4-relay"),
        pytest.param("224.0.0.1", id="rfc5771-4-multicast"),
        pytest.param("239.255.255.250", id="rfc2365-6.1-multicast"),
        pytest.param("240.0.0.1", id="rfc1112-4-reserved"),
        pytest.param("255.255.255.255", id="rfc919-7-broadcast"),
        pytest.param("::", id="rfc4291-2.5.2-unspecified"),
        pytest.param("::1", id="rfc4291-2.5.3-loopback"),
        pytest.param("::93.184.216.34", id="rfc4291-2.5.5.1-compatible"),
        pytest.param("fe80::1", id="rfc4291-2.5.6-link-local"),
        pytest.param("fe80::1%eth0", id="rfc4007-11-zone"),
        pytest.param(f"{PUBLIC_6}%eth0", id="rfc4007-11-zone-of-a-public-one"),
        pytest.param("fec0::1", id="rfc3879-4-site-local"),
        pytest.param("fc00::1", id="rfc4193-3.1-unique-local"),
        pytest.param("fd12:3456::1", id="rfc4193-3.1-unique-local-2"),
        pytest.param("ff02::1", id="rfc4291-2.7-multicast"),
        pytest.param("ff0e::1", id="rfc4291-2.7-multicast-global"),
        pytest.param("100::1", id="rfc6666-4-discard"),
        pytest.param("2001:2::1", id="rfc5180-8-benchmarks"),
        pytest.param("2001:20::1", id="rfc7343-6-orchid"),
        pytest.param("2001:db8::1", id="rfc3849-4-documentation"),
        pytest.param("3fff::1", id="rfc9637-3-documentation"),
        pytest.param("5f00::1", id="rfc9602-5-segments"),
        pytest.param("4000::1", id="rfc4291-2.4-not-given-out"),
        pytest.param("::ffff:127.0.0.1", id="rfc4291-2.5.5.2-mapped-loopback"),
        pytest.param("::ffff:7f00:1", id="rfc4291-2.5.5.2-mapped-in-hex"),
        pytest.param("::ffff:10.0.0.1", id="rfc4291-2.5.5.2-mapped-private"),
        pytest.param("64:ff9b::7f00:1", id="rfc6052-2.1-nat64-loopback"),
        pytest.param("64:ff9b::a9fe:a9fe", id="rfc6052-2.1-nat64-link-local"),
        pytest.param("64:ff9b:1::5db8:d822", id="rfc8215-4-nat64-local"),
        pytest.param("2002:7f00:1::1", id="rfc3056-2-6to4-loopback"),
        pytest.param("2002:c0a8:101::1", id="rfc3056-2-6to4-private"),
        pytest.param("2001:0:7f00:1:0:0:a247:27dd", id="rfc4380-4-teredo-server"),
        pytest.param("2001:0:5db8:d822:0:0:80ff:fffe", id="rfc4380-4-teredo-client"),
        pytest.param("", id="nothing"),
        pytest.param("localhost", id="name"),
        pytest.param("127.1", id="short"),
        pytest.param("2130706433", id="number"),
        pytest.param("0x7f.1", id="hex"),
        pytest.param("093.184.216.034", id="octal"),
        pytest.param("/run/socket", id="path"),
    ],
)
def test_any_other_address_is_not_public(address):
    """By the registries of special-purpose addresses, and by what an address stands for."""
    assert not is_public(address)


def test_operator_may_go_anywhere():
    """Whoever sets a URL knows what is there."""
    assert anywhere("127.0.0.1")


# -- the rule, applied


# -- names that a proxy will resolve


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("origin.example", id="name"),
        pytest.param("localhost.example", id="name-that-begins-so"),
        pytest.param("notlocalhost", id="name-that-ends-so"),
        pytest.param("10.0.0.1.example", id="name-with-numbers"),
        pytest.param(PUBLIC, id="ipv4"),
        pytest.param("1572395042", id="ipv4-as-a-number"),
        pytest.param(PUBLIC_6, id="ipv6"),
    ],
)
def test_host_that_may_be_public_may_be_asked_of_a_proxy(host):
    """What a name leads to, only the proxy can judge."""
    assert may_be_public(host)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("", id="empty"),
        pytest.param("localhost", id="rfc6761-6.3"),
        pytest.param("LocalHost.", id="rfc6761-6.3-absolute"),
        pytest.param("a.b.localhost", id="rfc6761-6.3-below"),
        pytest.param("localhost.localdomain", id="hosts-file"),
        pytest.param("ip6-localhost", id="hosts-file-ipv6"),
        pytest.param("localhost6", id="hosts-file-localhost6"),
        pytest.param("Localhost4.LocalDomain4.", id="hosts-file-localhost4"),
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.0.0.1.", id="loopback-absolute"),
        pytest.param("127.1", id="loopback-short"),
        pytest.param("2130706433", id="loopback-as-a-number"),
        pytest.param("0x7f.0.0.1", id="loopback-hexadecimal"),
        pytest.param("0177.1", id="loopback-octal"),
        pytest.param("0", id="unspecified"),
        pytest.param("10.1", id="private-short"),
        pytest.param("169.254.169.254", id="link-local"),
        pytest.param("::1", id="ipv6-loopback"),
        pytest.param("::ffff:10.0.0.1", id="ipv6-mapped"),
        pytest.param("fe80::1%eth0", id="ipv6-zone"),
    ],
)
def test_host_that_cannot_be_public_may_not_be_asked_of_a_proxy(host):
    """However it is written."""
    assert not may_be_public(host)
