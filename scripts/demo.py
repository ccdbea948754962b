"""Publish something real lazily, serve it in the foreground, and say what to try: `make run`.

    python scripts/demo.py          with the project installed in this Python's environment

Without UPSTREAM in the environment, the content is the wheels of the project's own dependencies,
behind a separate HTTP origin process on a free port of loopback, which ends with this script. With
it, the content is the folder at that URL, which must have a PULP_MANIFEST; a folder of this machine
gets an origin process as well.

Whatever was done is remembered in `var/demo`, so a second run starts at once: files are downloaded
again only if other versions are installed, and published again only if their manifest changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit

BIN = Path(sys.executable).parent
DEMO = Path("var/demo")
FILES = DEMO / "origin"
DONE = DEMO / "done.json"
CATALOG = Path("var/catalog.db")
CONTENT_PORT, ADMIN_PORT = 8751, 8752


def main() -> int:
    DEMO.mkdir(parents=True, exist_ok=True)
    settle_process()
    upstream = checked_upstream(os.environ.get("UPSTREAM", ""))
    for port in (CONTENT_PORT, ADMIN_PORT):
        refuse_taken_port(port)
    if upstream is None:
        return offer_folder("demo", FILES, prepare_files())
    if isinstance(upstream, Path):
        return offer_folder("upstream", upstream, upstream / "PULP_MANIFEST")
    return offer("upstream", upstream, fetch_manifest(upstream))


def settle_process() -> None:
    # The demo is the same for everybody, whatever else is configured on the machine.
    for variable in [name for name in os.environ if name.startswith("PULP_STREAMER__")]:
        del os.environ[variable]
    os.environ["PULP_STREAMER_CONFIG"] = str(Path("etc/streamer.toml").resolve())
    # So that the origin ends with this script in any case.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))


def checked_upstream(text: str) -> Path | str | None:
    """Read UPSTREAM: a folder, the URL of one, or nothing. A URL that is refused is not shown."""
    if not text:
        return None
    if "://" not in text:
        folder = Path(text).expanduser().resolve()
        if not (folder / "PULP_MANIFEST").is_file():
            sys.exit(f"{folder} is not a folder with a PULP_MANIFEST")
        return folder
    try:
        parts = urlsplit(text)
    except ValueError:
        sys.exit("UPSTREAM is not a URL")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        sys.exit("UPSTREAM must be an http:// or https:// URL, or a folder of this machine")
    if "@" in parts.netloc or parts.query or parts.fragment:
        sys.exit("UPSTREAM must have no user, query or fragment: make an importer for such a URL")
    return text.rstrip("/") + "/"


def offer_folder(name: str, folder: Path, manifest: Path) -> int:
    """Publish a folder of this machine from an origin process, and serve it."""
    with origin(name, folder) as url:
        return offer(name, url, manifest)


def offer(name: str, url: str, manifest: Path) -> int:
    publish(name, url, manifest)
    return serve(name, manifest)


def refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        # As servers do it: connections that are closing are no obstacle, a listener is one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(
                f"port {port} of 127.0.0.1 is taken, perhaps by another `make run`:"
                " end what listens there, then try again"
            )


# -- content ---------------------------------------------------------------------------------------


def prepare_files() -> Path:
    """Download the wheels of the installed dependencies, once, and write their manifest."""
    manifest = FILES / "PULP_MANIFEST"
    versions = run("pip", "freeze", "--exclude-editable")
    if manifest.exists() and recall("versions") == versions:
        return manifest
    print("downloading the wheels of the project's dependencies, to have something to serve")
    shutil.rmtree(FILES, ignore_errors=True)
    requirements = DEMO / "requirements.txt"
    requirements.write_text(versions)
    run("pip", "download", "-qq", "--no-deps", "--only-binary=:all:",
        "--dest", str(FILES), "--requirement", str(requirements))  # fmt: skip
    lines = [manifest_line(file) for file in sorted(FILES.iterdir())]
    manifest.write_text("".join(lines))
    remember("versions", versions)
    return manifest


def manifest_line(file: Path) -> str:
    content = file.read_bytes()
    return f"{file.name},{hashlib.sha256(content).hexdigest()},{len(content)}\n"


def fetch_manifest(url: str) -> Path:
    """Fetch the PULP_MANIFEST of a folder, as little as can be known of it."""
    # The publication gets the name of this file as the manifest's own path.
    manifest = DEMO / "upstream" / "PULP_MANIFEST"
    manifest.parent.mkdir(exist_ok=True)
    try:
        with (
            urllib.request.urlopen(f"{url}PULP_MANIFEST", timeout=30) as response,  # noqa: S310
            manifest.open("wb") as file,
        ):
            shutil.copyfileobj(response, file)
    except (OSError, ValueError, HTTPException) as error:
        sys.exit(f"{url}PULP_MANIFEST cannot be fetched: {getattr(error, 'reason', error)}")
    return manifest


@contextmanager
def origin(name: str, folder: Path) -> Iterator[str]:
    """Serve a folder from another process while the block runs; on the port of the last time."""
    last = recall(f"port of {name}")
    port = last if isinstance(last, int) else 0
    log = DEMO / "origin.log"
    process = start_origin(folder, log, port)
    try:
        found = wait_for_port(process, log)
        if found is None:
            process = start_origin(folder, log, 0)
            found = wait_for_port(process, log)
        if found is None:
            sys.exit(f"the origin of the demo did not start: see {log}")
        remember(f"port of {name}", found)
        yield f"http://127.0.0.1:{found}/"
    finally:
        process.terminate()
        process.wait()


def start_origin(folder: Path, log: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-m", "http.server", str(port)]
    command += ["--bind", "127.0.0.1", "--directory", str(folder), "--protocol", "HTTP/1.1"]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C is for the streamer, which still needs its origin then.
        return subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, cwd=Path.cwd()
        )


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int | None:
    """Read the port from the first line of the origin; `None` if it has ended instead."""
    for _ in range(300):
        said = re.search(r"Serving HTTP on \S+ port (\d+)", log.read_text())
        if said:
            return int(said[1])
        if process.poll() is not None:
            return None
        time.sleep(0.05)
    return None


# -- publishing ------------------------------------------------------------------------------------


def publish(name: str, url: str, manifest: Path) -> None:
    """Bring the importer and the publication up to date, each only if something changed."""
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    # A digest of it, because the URL may hold what should not lie about in a file.
    place = hashlib.sha256(url.encode()).hexdigest()
    if not CATALOG.exists():
        remember(f"url of {name}", None)
        remember(f"manifest of {name}", None)
    if recall(f"url of {name}") != place:
        listed = json.loads(run("pulp-streamer", "importer", "list", "--json"))
        known = [importer["name"] for importer in listed]
        command = ["update", name] if name in known else ["create", name, "--type", "http"]
        run("pulp-streamer", "importer", *command, "--url", url)
        remember(f"url of {name}", place)
    if recall(f"manifest of {name}") != digest:
        print(f"publishing {manifest} lazily as /{name}/")
        run("pulp-streamer", "publish", name, "--importer", name, "--manifest", str(manifest))
        remember(f"manifest of {name}", digest)


# -- serving ---------------------------------------------------------------------------------------


def serve(base_path: str, manifest: Path) -> int:
    """Run the service in the foreground until it ends or is told to."""
    service = subprocess.Popen([BIN / "twistd", "-n", "--pidfile=", "pulp-streamer"])

    def stop(number: int, frame: object) -> None:
        service.terminate()

    # Ctrl-C reaches the whole group, so the service has got its own already.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        if wait_until_ready(service):
            print(invitation(base_path, manifest), flush=True)
        status = service.wait()
    finally:
        service.terminate()
    return 0 if status in (0, -signal.SIGTERM, -signal.SIGINT) else 1


def wait_until_ready(service: subprocess.Popen[bytes]) -> bool:
    while service.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN_PORT}/readyz", timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
    return False


def invitation(base_path: str, manifest: Path) -> str:
    """Say what to try, with the largest file of up to 64 MiB and the digest that it must have."""
    root = f"http://127.0.0.1:{CONTENT_PORT}/"
    listed = {path: (digest, size) for path, digest, size in manifest_rows(manifest)}
    suggestion = ""
    if listed:
        moderate = [path for path, (_, size) in listed.items() if size <= 64 * 1024**2]
        path = max(moderate or listed, key=lambda each: listed[each][1])
        suggestion = curl_lines(f"{root}{base_path}/{quote(path)}", listed[path][0])
    return f"""
Serving {counted(len(listed))} lazily. Try, in another terminal:
{suggestion}
  curl -sS http://127.0.0.1:{ADMIN_PORT}/metrics

In a browser, {root} lists what is published,
and http://127.0.0.1:{ADMIN_PORT}/ shows the state of the service.
Ctrl-C ends it, and its origin if `make run` started one.
"""


def counted(number: int) -> str:
    return f"{number} artifact{'' if number == 1 else 's'}"


def curl_lines(url: str, digest: str) -> str:
    return f"""
  curl -sS '{url}' | sha256sum
      {digest}  is what it must say
  curl -sSI '{url}'
  curl -sSI -H 'If-None-Match: "sha256:{digest}"' '{url}'"""


def manifest_rows(manifest: Path) -> Iterator[tuple[str, str, int]]:
    """The path, digest and size of each line, in a file that was accepted already."""
    for line in manifest.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            path, digest, size = line.rsplit(",", 2)
            yield path, digest.strip().lower(), int(size)


# -- parts -----------------------------------------------------------------------------------------


def run(program: str, *arguments: str) -> str:
    """Run a program of this environment; its complaint ends the demo."""
    done = subprocess.run([BIN / program, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} failed, see above")
    return done.stdout


def recall(key: str) -> object:
    try:
        return json.loads(DONE.read_text()).get(key)
    except (OSError, ValueError):
        return None


def remember(key: str, value: object) -> None:
    try:
        done = json.loads(DONE.read_text())
    except (OSError, ValueError):
        done = {}
    DONE.write_text(json.dumps(done | {key: value}, indent=1))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
