"""FTP servers as operators run them: pyftpdlib in a thread of the tests, and vsftpd as a process.

pyftpdlib can be watched and made to misbehave; vsftpd insists, as it does by default, that each
data connection resumes the TLS session of the control connection.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
import warnings
from pathlib import Path

from OpenSSL import SSL
from processes import free_port

with warnings.catch_warnings():
    # It needs asyncore, which Python 3.11 announces to be gone in 3.12, where it brings its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

STARTING_SECONDS = 20

logging.getLogger("pyftpdlib").addHandler(logging.NullHandler())
logging.getLogger("pyftpdlib").propagate = False


class _OneByOne:
    """An epoll that tells of one descriptor at a time.

    Of several, pyftpdlib hands what is said of a connection that it has just closed to the one that
    it has just accepted under the same number, and closes that, too.
    """

    def __init__(self):
        self._poller = select.epoll()

    def poll(self, timeout):
        return self._poller.poll(timeout, 1)

    def __getattr__(self, name):
        return getattr(self._poller, name)


class _Loop(IOLoop):
    """A loop of its own for each server; else all of a process would share one."""

    _poller = _OneByOne


class _Files(AbstractedFS):
    """A folder in which what is named `broken` cannot be read to its end.

    pyftpdlib forgets a file whose client has left by the time that it says 150; so all are kept,
    and closed when the server ends.
    """

    opened: list

    def open(self, filename, mode):
        file = super().open(filename, mode)
        self.opened.append(file)
        return _Broken(file) if Path(filename).name == "broken" else file


class _Broken:
    """A file on a disk that fails."""

    name = "broken"
    closed = False

    def __init__(self, file):
        self._file = file

    def read(self, count):
        if self._file.tell() > 3_000_000:
            raise OSError("the disk fails")
        return self._file.read(count)

    def __getattr__(self, name):
        return getattr(self._file, name)


class _ImplicitHandler(TLS_FTPHandler):
    """TLS begins with the connection."""

    def handle(self):
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self):
        TLS_FTPHandler.handle(self)


class PyftpdServer:
    """A server of one folder, for one user and password; `tls` is `explicit`, `implicit` or None.

    `commands` are all that it was sent, but passwords. Files below `forbidden` may be seen by its
    user and not read.
    """

    def __init__(
        self, folder, username, password, *, tls=None, server_file=None, without=(), **settings
    ):
        self.commands = []
        self.logins = 0
        self._opened = []
        authorizer = DummyAuthorizer()
        authorizer.add_user(username, password, str(folder), perm="elr")
        if (folder / "forbidden").exists():
            authorizer.override_perm(username, str(folder / "forbidden"), perm="el")
        handler = self._handler(tls, server_file)
        known = {verb: how for verb, how in handler.proto_cmds.items() if verb not in without}
        members = {
            "authorizer": authorizer,
            "proto_cmds": known,
            "abstracted_fs": type("Files", (_Files,), {"opened": self._opened}),
            "use_sendfile": False,
            "auth_failed_timeout": 0,
            "tls_control_required": True,
            "tls_data_required": True,
            "dtp_handler": DTPHandler if tls is None else TLS_DTPHandler,
            "on_login": self._on_login,
            "pre_process_command": self._noting(handler),
        }
        handler = type("Handler", (handler,), members | settings)
        self._server = FTPServer(("127.0.0.1", 0), handler, ioloop=_Loop())
        self.port = self._server.address[1]
        self.url = f"{'ftps' if tls == 'implicit' else 'ftp'}://127.0.0.1:{self.port}/"
        self._is_stopping = threading.Event()
        self._is_cutting = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_stopping.set()
        self._thread.join()

    @property
    def open_connections(self):
        """Control and data connections.

        A port that waits for one is not counted: where the client leaves at that very moment, it is
        left until pyftpdlib gives it up after half a minute.
        """
        held = list(self._server.ioloop.socket_map.values())
        return sum(isinstance(each, FTPHandler | DTPHandler) for each in held)

    def verbs(self):
        """What was asked, without arguments."""
        return [command.partition(" ")[0] for command in self.commands]

    def cut(self):
        """Close the data connections that are open, and say nothing of it."""
        self._is_cutting.set()

    def _serve(self):
        while not self._is_stopping.is_set():
            self._server.serve_forever(timeout=0.005, blocking=False)
            if self._is_cutting.is_set():
                self._is_cutting.clear()
                for each in list(self._server.ioloop.socket_map.values()):
                    if isinstance(each, DTPHandler):
                        each.close()
        self._server.close_all()
        for file in self._opened:
            file.close()

    def _handler(self, tls, server_file):
        if tls is None:
            return FTPHandler
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(server_file))
        context.use_privatekey_file(str(server_file))
        base = _ImplicitHandler if tls == "implicit" else TLS_FTPHandler
        return type("TlsHandler", (base,), {"ssl_context": context})

    def _on_login(self, *_):
        self.logins += 1

    def _noting(self, handler):
        def pre_process_command(asked, line, cmd, arg):
            self.commands.append(cmd if cmd == "PASS" else line)
            handler.pre_process_command(asked, line, cmd, arg)

        return pre_process_command


_VSFTPD = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
run_as_launching_user=YES
anonymous_enable=YES
anon_root={content}
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=YES
log_ftp_protocol=YES
vsftpd_log_file={folder}/vsftpd.log
"""

_VSFTPD_TLS = """
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={server_file}
implicit_ssl={implicit}
"""


class Vsftpd:
    """vsftpd for strangers; with a `server_file` it insists on TLS for everything."""

    def __init__(self, folder, content, *, server_file=None, is_implicit=False):
        self.port = free_port()
        self.url = f"{'ftps' if is_implicit else 'ftp'}://127.0.0.1:{self.port}/"
        self._log_file = folder / "vsftpd.log"
        self._config = folder / "vsftpd.conf"
        template = _VSFTPD if server_file is None else _VSFTPD + _VSFTPD_TLS
        self._config.write_text(
            template.format(
                folder=folder,
                content=content,
                port=self.port,
                server_file=server_file,
                implicit="YES" if is_implicit else "NO",
            ).lstrip()
        )
        self._process = None

    def __enter__(self):
        # With a process group of its own, since it has a process for each session.
        self._process = subprocess.Popen(["vsftpd", self._config], start_new_session=True)
        deadline = time.monotonic() + STARTING_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"vsftpd does not answer: {self._config}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Stop it, and every session that it has."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()

    @property
    def open_connections(self):
        """Sessions, each of which is a process."""
        return len(self._sessions())

    def cut(self):
        """End every session in whatever it does, without a word."""
        for session in self._sessions():
            os.kill(session, signal.SIGKILL)

    def verbs(self):
        """What was asked, without arguments."""
        return re.findall(r'FTP command: Client "[^"]*", "([A-Z]+)', self.log_text())

    def log_text(self):
        """All that it has written: commands and replies."""
        return self._log_file.read_text()

    def _sessions(self):
        pid = self._process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False
