"""Issue 5, line 5: dnf has a repository from mirrors that a list of its distribution names.

The repository is made with rpmbuild and createrepo_c, and published as docs/importers-mirrors.md
says. Of its mirrors one is dead, one lies and one is stale; what dnf gets is right all the same.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from nginx_mirrors import NginxMirrors, refusing_base
from origins import flipped
from processes import Streamer, run, sha256
from written_lists import METALINK, MIRRORLIST, ListService, metalink, mirrorlist

KIB = 1024
PACKAGES = {
    "small": ("1.0", 20 * KIB),
    "medium": ("1:2.4", 300 * KIB),
    "large": ("3.1", 1500 * KIB),
    "awkward++-libs": ("0~rc1+git", 40 * KIB),
}
"""By name: the version, after its epoch if there is one, and the size of what is in it."""

NEW = "brand-new"

SPEC = """\
Name: {name}
{epoch}
Version: {version}
Release: 1
Summary: A package of the tests
License: CC0
BuildArch: noarch
%description
It holds some bytes.
%install
install -D {content} %{{buildroot}}/usr/share/{name}/content
%files
/usr/share/{name}
"""

DOCUMENT = Path(__file__).parents[2] / "docs" / "importers-mirrors.md"
RECIPE = re.search(
    r"^## Serve a Fedora .*?(?=^## |\Z)", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
)
CREATE, PUBLISH, REPOSITORY_FILE = (
    textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", RECIPE[0], re.MULTILINE)
)
"""What an operator is told to type: two scripts, and a file for dnf."""

LISTS = {
    "fedora": ("metalink?repo=fedora-44&arch=x86_64", METALINK),
    "centos": ("?release=7&arch=x86_64&repo=os&infra=stock", MIRRORLIST),
}
"""By distribution: what is asked of its list service, and what that sends."""


# -- the repository


def add_package(repository, name, version, size, folder):
    """Build a package into its place below `Packages`."""
    content = folder / f"{name}.content"
    content.write_bytes(random.Random(name).randbytes(size))
    epoch, _, version = version.rpartition(":")
    spec = folder / f"{name}.spec"
    spec.write_text(
        SPEC.format(
            name=name, version=version, content=content, epoch=f"Epoch: {epoch}" if epoch else ""
        )
    )
    place = repository / "Packages" / name[0]
    place.mkdir(parents=True, exist_ok=True)
    defined = {
        "_topdir": folder / "build",
        "_tmppath": folder / "build",
        "_dbpath": folder / "build",
        "_rpmdir": place,
        "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "__os_install_post": "%{nil}",
    }
    defines = [word for key, value in defined.items() for word in ("--define", f"{key} {value}")]
    succeeds("rpmbuild", "-bb", "--quiet", *defines, spec)


def succeeds(*command):
    done = run(*command)
    assert done.returncode == 0, done.stderr.decode()


def files_of(repository):
    """What a mirror of it has: `{path: content}`."""
    return {
        str(file.relative_to(repository)): file.read_bytes()
        for file in sorted(repository.rglob("*"))
        if file.is_file()
    }


def packages_of(files):
    """The digest of every package, by its file's name."""
    return {
        path.rpartition("/")[2]: sha256(content)
        for path, content in files.items()
        if path.endswith(".rpm")
    }


class Repository:
    """One repository at two times: what it had `before` a package came to it, and has `now`."""

    def __init__(self, folder):
        self.folder = folder / "repository"
        for name, (version, size) in PACKAGES.items():
            add_package(self.folder, name, version, size, folder)
        succeeds("createrepo_c", "--quiet", self.folder)
        self.folder_before = folder / "before"
        shutil.copytree(self.folder, self.folder_before)
        add_package(self.folder, NEW, "1.0", 100 * KIB, folder)
        succeeds("createrepo_c", "--quiet", "--update", self.folder)
        self.before, self.now = files_of(self.folder_before), files_of(self.folder)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The same for all tests."""
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def mirrors(repository, tmp_path):
    """An nginx with mirrors of it, good and bad ones."""
    lies = {path: flipped(content, len(content) // 2) for path, content in repository.now.items()}
    files = {"lying": lies, "stale": repository.before, "good": repository.now}
    (tmp_path / "nginx").mkdir()
    with NginxMirrors(tmp_path / "nginx", files) as mirrors:
        yield mirrors


@pytest.fixture
def bases(mirrors):
    """The bases of all mirrors as a list has them, the bad ones first."""
    return [refusing_base(), *(mirrors.base(name) for name in ("lying", "stale", "good"))]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service; nothing that dnf asks of it may end in a traceback."""
    with Streamer(tmp_path_factory.mktemp("service")) as streamer:
        yield streamer
        assert streamer.tracebacks() == []


def written(distribution, bases, repository):
    """The list that a distribution's service sends about the repository."""
    if distribution == "centos":
        return mirrorlist(bases)
    older = [repository.before["repodata/repomd.xml"]]
    return metalink(bases, repository.now["repodata/repomd.xml"], older)


class Operator:
    """Follows the recipe, for a repository of a name of its own."""

    def __init__(self, service, name):
        self._service = service
        self._name = name
        self.base_path = f"{name}/44/os"

    def create(self, list_url):
        """Create the importer; its mirrors are on this machine, which has to be allowed."""
        self._run(re.sub(r"'https:.*?'", f"'{list_url}'", CREATE))
        self.update(allow_private_redirects="true")

    def update(self, **config):
        sets = [word for key, value in config.items() for word in ("--set", f"{key}={value}")]
        self._service.admin("importer", "update", self._name, *sets)

    def publish(self, folder):
        """Publish what lies in a folder; that is left as it was."""
        self._run(PUBLISH.replace("/srv/fedora", str(folder)))
        (folder / "PULP_MANIFEST").unlink()

    def repository_file(self):
        """What dnf is to be told; the packages of the tests are not signed."""
        text = REPOSITORY_FILE.replace("http://streamer.example:8751/", self._service.url)
        return text.replace("fedora", self._name).replace("gpgcheck=1", "gpgcheck=0")

    def _run(self, script):
        environment = self._service.environment
        path = f"{self._service.scripts}:{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace(" fedora", f" {self._name}")],
            capture_output=True,
            text=True,
            env={**environment, "PATH": path},
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr


# -- dnf


class Dnf:
    """A dnf that knows one repository, and nothing of the machine that it runs on."""

    def __init__(self, folder, repository_file):
        """What stands in `repository_file` says where the repository is."""
        self._folder = folder
        self.downloads = folder / "downloads"
        (folder / "repositories").mkdir(parents=True)
        (folder / "repositories" / "tried.repo").write_text(repository_file)
        options = {
            "reposdir": folder / "repositories",
            "installroot": folder / "root",
            "cachedir": "/cache",
            "logdir": "/log",
            "persistdir": "/persistent",
            "varsdir": folder / "variables",
            "releasever": 9,
            "module_platform_id": "platform:el9",
            "gpgcheck": False,
            "plugins": False,
        }
        settings = "".join(f"{key}={value}\n" for key, value in options.items())
        (folder / "dnf.conf").write_text(f"[main]\n{settings}")

    def __call__(self, *words):
        """Run a command to its end; gives its exit code and what it has said."""
        # It wants to be root even to download, and then no more than in its own name space.
        root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
        done = subprocess.run(
            [*root, "dnf", "-y", "-c", self._folder / "dnf.conf", "--releasever=9", *words],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "LANG": "C.UTF-8"},
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def download(self, *names):
        """Download packages as for an installation; gives the exit code and what was said."""
        return self("install", "--downloadonly", f"--destdir={self.downloads}", *names)

    def downloaded(self):
        """The digest of every package that is there, by its file's name."""
        return {file.name: sha256(file.read_bytes()) for file in self.downloads.iterdir()}


# -- what it gets


@pytest.mark.parametrize("distribution", LISTS)
def test_dnf_gets_a_repository_from_the_mirrors_of_a_list(
    distribution, repository, mirrors, bases, service, tmp_path
):
    """Every package is right and dnf is content, though most of the mirrors are not good."""
    query, media_type = LISTS[distribution]
    operator = Operator(service, distribution)
    with ListService(written(distribution, bases, repository), media_type) as listing:
        operator.create(f"{listing.url}{query}")
        operator.publish(repository.folder)
        dnf = Dnf(tmp_path / "dnf", operator.repository_file())

        cached, said_first = dnf("makecache")
        downloaded, said_then = dnf.download(*PACKAGES, NEW)
        asked_for = {talk.target.decode() for talk in listing.conversations}

    assert (cached, downloaded) == (0, 0), said_first + said_then
    assert packages_of(repository.now) == dnf.downloaded()
    assert {f"/{query}"} == asked_for
    assert "repodata/repomd.xml" in mirrors.targets("lying")
    assert f"Packages/b/{NEW}-1.0-1.noarch.rpm" in mirrors.targets("good")


def test_dnf_sees_an_update_though_a_mirror_lags_behind(repository, mirrors, service, tmp_path):
    """Old metadata of a stale mirror are not taken for the new ones, nor its 404 for an answer."""
    operator, listed = Operator(service, "lagging"), [mirrors.base("stale")]
    with ListService(mirrorlist(listed)) as listing:
        operator.create(f"{listing.url}?release=9&arch=x86_64&repo=os")
        operator.publish(repository.folder_before)
        dnf = Dnf(tmp_path / "dnf", operator.repository_file())
        first = [dnf.download("small")[0], dnf.download(NEW)[0]]
        listing.send(mirrorlist([*listed, mirrors.base("good")]))
        # With another config it is another importer, which asks for the list again.
        operator.update(max_retries=1)
        operator.publish(repository.folder)

        exit_code, said = dnf("makecache", "--refresh")
        then = [dnf.download(NEW)[0], dnf.download("small")[0]]

    wanted = {name: each for name, each in packages_of(repository.now).items() if name[0] in "bs"}
    assert [0, 1] == first
    assert exit_code == 0, said
    assert [0, 0] == then
    assert wanted == dnf.downloaded()
    assert "404" in {each.status for each in mirrors.asked("stale")}


def test_dnf_takes_the_service_for_one_of_the_mirrors(
    repository, mirrors, bases, service, tmp_path
):
    """A list that dnf itself reads may name it: what it serves is what that metalink promises."""
    operator = Operator(service, "mirror")
    repomd = repository.now["repodata/repomd.xml"]
    listed = [refusing_base(), f"{service.url}{operator.base_path}/"]
    with (
        ListService(mirrorlist(bases)) as listing,
        ListService(metalink(listed, repomd), METALINK) as for_dnf,
    ):
        operator.create(f"{listing.url}?release=9&arch=x86_64&repo=os")
        operator.publish(repository.folder)
        where = f"metalink={for_dnf.url}metalink?repo=fedora-44&arch=x86_64"
        dnf = Dnf(tmp_path / "dnf", f"[mirrored]\nname=mirrored\n{where}\n")

        exit_code, said = dnf.download(*PACKAGES, NEW)

    assert exit_code == 0, said
    assert packages_of(repository.now) == dnf.downloaded()
