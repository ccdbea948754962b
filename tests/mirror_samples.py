"""Lists of mirrors as they are met outside, with made-up hosts and digests.

Written after what MirrorManager, the mirror lists of CentOS and its kin, MirrorCache, MirrorBrain,
mirrorbits and Debian's redirector send: their order, their indentation, their oddities.
"""

from __future__ import annotations

CENTOS = b"""\
http://mirror.one.example/centos/7/os/x86_64/
http://ftp.two.example/pub/CentOS/7/os/x86_64/
https://three.example:8443/7/os/x86_64/
"""

ROCKY = b"""\
# repo = rocky-BaseOS-9 arch = x86_64 country = DE country = CZ country = AT 
https://rocky.one.example/pub/rocky//9.4/BaseOS/x86_64/os/
http://ftp.two.example/rocky/9.4/BaseOS/x86_64/os
https://three.example/rocky/9.4/BaseOS/x86_64/os/
"""  # noqa: W291

ALMA = b"""\
https://alma.one.example/9/BaseOS/x86_64/os/\r
rsync://alma.one.example/almalinux/9/BaseOS/x86_64/os/\r
\r
ftp://two.example/almalinux/9/BaseOS/x86_64/os/  \r
"""

MD5 = "0123456789abcdef" * 2
SHA1 = "0123456789abcdef0123" * 2
SHA256 = "0123456789abcdef" * 4
SHA512 = "0123456789abcdef" * 8
OLDER_SHA256 = "fedcba9876543210" * 4

FEDORA = f"""\
<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" \
pubdate="Thu, 21 May 2026 19:54:04 GMT" generator="mirrormanager" \
xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
   <mm0:timestamp>1779326542</mm0:timestamp>
   <size>4057</size>
   <verification>
    <hash type="md5">{MD5}</hash>
    <hash type="sha1">{SHA1}</hash>
    <hash type="sha256">{SHA256}</hash>
    <hash type="sha512">{SHA512}</hash>
   </verification>
   <mm0:alternates>
    <mm0:alternate>
      <mm0:timestamp>1779237150</mm0:timestamp>
      <size>4056</size>
      <verification>
       <hash type="sha256">{OLDER_SHA256}</hash>
      </verification>
    </mm0:alternate>
   </mm0:alternates>
   <resources maxconnections="1">
    <url protocol="rsync" type="rsync" location="GB" preference="99" >\
rsync://one.example/fedora/updates/44/Everything/x86_64/repodata/repomd.xml</url>
    <url protocol="http" type="http" location="GB" preference="99" >\
http://one.example/fedora/updates/44/Everything/x86_64/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="DE" preference="100" >\
https://two.example/pub/fedora/updates/44/Everything/x86_64/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="GB" preference="99"  mm0:private="True">\
https://one.example/fedora/updates/44/Everything/x86_64/repodata/repomd.xml</url>
    <url protocol="ftp" type="ftp" location="CZ" preference="1" >\
ftp://three.example/fedora/updates/44/Everything/x86_64/repodata/repomd.xml</url>
   </resources>
  </file>
 </files>
</metalink>
""".encode()

OPENSUSE = b"""\
<?xml version="1.0" encoding="UTF-8"?>

<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>MirrorCache</generator>
  <origin dynamic="true">http://cache.example/tumbleweed/repo/oss/noarch/file-5.43-1.1.noarch.rpm</origin>
  <published>2026-10-02T12:01:37Z</published>
  <publisher>
    <name>openSUSE</name>
    <url>http://download.example</url>
  </publisher>
  <file name="file-5.43-1.1.noarch.rpm">
    <!-- Mirrors which handle this country (AU):  -->
    <url location="AU" priority="1">http://one.example/tumbleweed/repo/oss/noarch/file-5.43-1.1.noarch.rpm</url>
    <!-- Mirrors in the same continent (OC):  -->
    <url location="NZ" priority="2">http://two.example/opensuse/tumbleweed/repo/oss/noarch/file-5.43-1.1.noarch.rpm</url>
    <!-- File origin location:  -->
    <url location="" priority="3">http://one.example/tumbleweed/repo/oss/noarch/file-5.43-1.1.noarch.rpm</url>
  </file>
</metalink>
"""

MIRRORBRAIN = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>MirrorBrain/2.19.0</generator>
  <file name="isos/small disk.iso">
    <size>600000</size>
    <hash type="md5">{MD5}</hash>
    <hash type="sha-1">{SHA1}</hash>
    <hash type="sha-256">{SHA256}</hash>
    <pieces length="262144" type="sha-1">
      <hash>{SHA1}</hash>
      <hash>{SHA1[::-1]}</hash>
      <hash>{SHA1}</hash>
    </pieces>
    <metaurl mediatype="torrent" priority="1">http://download.example/isos/small%20disk.iso.torrent</metaurl>
    <url location="jp" priority="2">http://two.example/pub/isos/small%20disk.iso</url>
    <url location="cn" priority="1">http://one.example/isos/small%20disk.iso</url>
    <url>http://three.example/isos/small%20disk.iso</url>
  </file>
  <file name="isos/SHA256SUMS">
    <url location="cn" priority="1">http://one.example/isos/SHA256SUMS</url>
    <url location="fr" priority="3">http://four.example/x/isos/SHA256SUMS</url>
  </file>
</metalink>
""".encode()

MIRRORBRAIN_3 = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" origin="http://download.example/a.iso.metalink">
  <files>
    <file name="a.iso">
      <size>300000</size>
      <verification>
        <hash type="sha1">{SHA1}</hash>
        <pieces length="262144" type="sha1">
            <hash piece="0">{SHA1}</hash>
            <hash piece="1">{SHA1[::-1]}</hash>
        </pieces>
      </verification>
      <resources>
        <url type="bittorrent" preference="100">http://download.example/a.iso.torrent</url>
        <url type="http" location="de" preference="90">http://one.example/pub/a.iso</url>
        <url type="ftp" location="de">ftp://two.example/a.iso</url>
      </resources>
    </file>
  </files>
</metalink>
""".encode()

MIRRORBITS_FIELDS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Link", "<http://two.example/pub/a.iso>; rel=duplicate; pri=1; geo=fr"),
    ("Link", "<http://three.example/a.iso>; rel=duplicate; pri=2; geo="),
    ("Location", "http://one.example/a.iso"),
)

MIRRORBRAIN_FIELDS = (
    (
        "Link",
        '<http://download.example/a.iso.meta4>; rel=describedby; type="application/metalink4+xml"',
    ),
    ("Link", "<http://one.example/a.iso>; rel=duplicate; pri=1; geo=de"),
    ("link", "<ftp://two.example/pub/a.iso>; rel=duplicate; pri=2; geo=pt"),
)

DEBIAN_FIELDS = (
    (
        "Link",
        "<http://one.example/debian/>; rel=duplicate; pri=1; depth=0,"
        " <http://two.example/debian/>; rel=duplicate; pri=1; depth=0",
    ),
)

SAMPLES = {
    "centos": CENTOS,
    "rocky": ROCKY,
    "alma": ALMA,
    "fedora": FEDORA,
    "opensuse": OPENSUSE,
    "mirrorbrain": MIRRORBRAIN,
    "mirrorbrain-3": MIRRORBRAIN_3,
}
