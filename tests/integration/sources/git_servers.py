"""Git repositories, and servers that give them: over http with git's own backend, and over ssh."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncssh

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


class Repository:
    """A repository with the branch `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str) -> str:
        """Runs git in it. Returns the output."""
        environ = {**os.environ, **_IDENTITY}
        done = subprocess.run(
            ["git", *args], cwd=self.folder, env=environ, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str] | None = None) -> str:
        """Writes files and commits all there is. Returns the commit's id."""
        for name, text in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a commit")
        return self.git("rev-parse", "HEAD")


@dataclass
class HttpServer:
    """Where it is, what it was asked, and what it has for Git LFS, by object id."""

    url: str
    authorizations: list[str | None] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def keep(self, content: str) -> str:
        """Takes the content of a file for Git LFS. Returns its pointer."""
        oid = hashlib.sha256(content.encode()).hexdigest()
        self.objects[oid] = content.encode()
        return pointer_to(content)


def pointer_to(content: str) -> str:
    """What a repository holds in place of a file of that content."""
    oid = hashlib.sha256(content.encode()).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


@contextmanager
def git_over_http(folder: Path, token: str | None = None) -> Iterator[HttpServer]:
    """Serves the repositories below a folder by `git http-backend`; with a token, only to those who send it."""
    known = HttpServer("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, body: bytes) -> None:
            sent = self.headers.get("Authorization")
            known.authorizations.append(sent)
            if token is not None and not _is_token(sent, token):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            url = urlsplit(self.path)
            if "/lfs/" in url.path:
                self._answer_lfs(url.path, body)
                return
            environ = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            }
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False, timeout=60
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _answer_lfs(self, path: str, body: bytes) -> None:
            """Of Git LFS's API, what a download needs: the batch request, and the objects."""
            content = known.objects.get(path.rpartition("/")[2], b"")
            if path.endswith("/objects/batch"):
                answers = [_lfs_object(known, each) for each in json.loads(body)["objects"]]
                content = json.dumps({"transfer": "basic", "objects": answers}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.git-lfs+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _lfs_object(server: HttpServer, wanted: dict[str, Any]) -> dict[str, Any]:
    oid = wanted["oid"]
    if oid not in server.objects:
        return {**wanted, "error": {"code": 404, "message": "Object does not exist on the server"}}
    return {**wanted, "actions": {"download": {"href": f"{server.url}/lfs/{oid}"}}}


def _is_token(sent: str | None, token: str) -> bool:
    if sent is None or not sent.startswith("Basic "):
        return False
    return base64.b64decode(sent.removeprefix("Basic ")).decode().partition(":")[2] == token


@dataclass(frozen=True)
class SshServer:
    """A server, and how ssh reaches it.

    Attributes:
        url: with user and port.
        command: for GIT_SSH_COMMAND: the key and the server's known key.
        command_without_key: the same, for somebody whom the server does not know.
        command_of_stranger: the same, where the server is not known.
    """

    url: str
    command: str
    command_without_key: str
    command_of_stranger: str


@asynccontextmanager
async def git_over_ssh(folder: Path) -> AsyncIterator[SshServer]:
    """Gives repositories by their paths to the holder of one key; `folder` takes the keys."""
    host_key = _make_keys(folder)
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(folder / "key.pub"),
        process_factory=_serve_git,
        encoding=None,
    )
    port = server.get_port()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
    common = "ssh -F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes"
    known = f"-o UserKnownHostsFile={known_hosts}"
    try:
        yield SshServer(
            f"ssh://git@127.0.0.1:{port}",
            f"{common} {known} -i {folder / 'key'}",
            f"{common} {known} -i {folder / 'other'}",
            f"{common} -o UserKnownHostsFile={folder / 'nobody'} -i {folder / 'key'}",
        )
    finally:
        server.close()
        await server.wait_closed()


def _make_keys(folder: Path) -> asyncssh.SSHKey:
    """Two keys of users, of which the server knows one. Returns the server's own."""
    folder.mkdir(parents=True)
    for name in ("key", "other"):
        private = asyncssh.generate_private_key("ssh-ed25519")
        private.write_private_key(folder / name)
        private.write_public_key(folder / f"{name}.pub")
        (folder / name).chmod(0o600)
    return asyncssh.generate_private_key("ssh-ed25519")


async def _serve_git(process: asyncssh.SSHServerProcess[bytes]) -> None:
    command = process.command or ""
    if not command.startswith("git-upload-pack "):
        process.exit(1)
        return
    child = await asyncio.create_subprocess_shell(
        f"git -c safe.directory='*' {command.removeprefix('git-')}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "GIT_PROTOCOL": process.env.get("GIT_PROTOCOL", "")},
    )
    await process.redirect(child.stdin, child.stdout, child.stderr)
    process.exit(await child.wait())
    await process.wait_closed()
