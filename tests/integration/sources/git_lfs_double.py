"""What `git-lfs filter-process` does when files are checked out, for machines that do not have it: stands on the PATH.

It speaks git's protocol of long-running filters (gitattributes(5)) and the batch request of Git LFS, downloads only.
"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"


def packets() -> Iterator[bytes]:
    """The content of all packets up to the next end of a list."""
    while (size := int(sys.stdin.buffer.read(4) or b"0", 16)) > 0:
        yield sys.stdin.buffer.read(size - 4)


def say(*contents: bytes) -> None:
    """Sends a list of packets."""
    for content in contents:
        for start in range(0, len(content), 60_000):
            part = content[start : start + 60_000]
            sys.stdout.buffer.write(b"%04x%s" % (len(part) + 4, part))
    sys.stdout.buffer.write(b"0000")
    sys.stdout.buffer.flush()


def settings() -> dict[str, str]:
    """git's configuration, with that of the environment."""
    listed = subprocess.run(["git", "config", "--list", "-z"], capture_output=True, text=True, check=True).stdout
    return dict(entry.partition("\n")[::2] for entry in listed.split("\0") if entry)


def ask(url: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    """The answer to an HTTP request."""
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as response:
        content: bytes = response.read()
        return content


def content_of(pointer: bytes, known: dict[str, str]) -> bytes:
    """The file in whose place the pointer stands. Raises LookupError where the server does not have it."""
    oid, size = (line.rpartition(" ")[2] for line in pointer.decode().splitlines()[1:3])
    wanted = {"oid": oid.removeprefix("sha256:"), "size": int(size)}
    words = next((value for key, value in known.items() if key.endswith(".extraheader")), "")
    headers = {words.partition(": ")[0]: words.partition(": ")[2]} if words else {}
    request = json.dumps({"operation": "download", "objects": [wanted]}).encode()
    origin = known["remote.origin.url"]
    answer: Any = json.loads(ask(f"{origin}/info/lfs/objects/batch", headers, request))["objects"][0]
    if "error" in answer:
        raise LookupError(f"[{answer['oid']}] {answer['error']['message']}: [404]")
    return ask(answer["actions"]["download"]["href"], headers)


def is_included(path: str, known: dict[str, str]) -> bool:
    """Whether `lfs.fetchinclude` lets it through."""
    patterns = [pattern for pattern in known.get("lfs.fetchinclude", "").split(",") if pattern]
    return not patterns or any(
        fnmatch.fnmatch(f"/{path}", pattern if "/" in pattern else f"*/{pattern}") for pattern in patterns
    )


def main() -> None:
    list(packets())
    say(b"git-filter-server", b"version=2")
    list(packets())
    say(b"capability=smudge")
    known = settings()
    while facts := [fact.decode().strip() for fact in packets()]:
        path = next(fact for fact in facts if fact.startswith("pathname=")).removeprefix("pathname=")
        content = b"".join(packets())
        try:
            if content.startswith(_POINTER) and is_included(path, known):
                content = content_of(content, known)
        except LookupError as error:
            print(f"Error downloading object: {path}: {error}", file=sys.stderr)
            say(b"status=error")
            continue
        say(b"status=success")
        say(content)
        say()


main()
