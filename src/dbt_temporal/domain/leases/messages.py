"""What is said about leases. In Temporal these are arguments and results, so they only grow."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, ConfigDict

KEY_BYTES = 5
"""Of the digest of a name. Where two names have the same, two runs wait for each other that need not: with 10,000
relations each, that is one pair of runs in 10,000."""

LeasePer = Literal["none", "target", "project", "relation"]
"""For what a run has a lease: its project, the place that its target writes to, each relation that it writes."""


class Lease(BaseModel):
    """What a run wants for itself alone: all keys of a scope, or none of them.

    Attributes:
        scope: who of all runs may meet: they share one table. Part of a workflow id, for people as well.
        keys: the keys, packed by `pack_keys`.
        what: for people, what is written.
    """

    model_config = ConfigDict(frozen=True)

    scope: str
    keys: str
    what: str

    def includes(self, other: Lease) -> bool:
        """Whether who has this one needs no other for that."""
        return self.scope == other.scope and unpack_keys(self.keys) >= unpack_keys(other.keys)


class Claimant(BaseModel):
    """A run that has a lease, or waits for one.

    Attributes:
        owner, workflow_id: as in `LeaseRequest`.
        since: when it asked, in ISO 8601 with time zone.
        granted: whether it has it.
        asked: how often it has asked.
    """

    model_config = ConfigDict(frozen=True)

    owner: str
    workflow_id: str
    since: str
    granted: bool
    asked: int = 1


class LeaseRequest(BaseModel):
    """One run asks for its lease; asking again, for the same or less, changes nothing.

    Attributes:
        owner: the invocation id: the same after a reset of the run.
        workflow_id: of the run, for people, and to tell it.
        lease: what it wants. What it had, or waited for, and is not part of this, it has no longer.
        waits: whether it gets a place in the queue where it cannot have it now.
        closed: claims of which the asking side has found that their runs are no more.
        within: owners whose runs have started this one, and wait for it: what they have, it has with them.
    """

    owner: str
    workflow_id: str
    lease: Lease
    waits: bool = True
    closed: list[Claimant] = []
    within: list[str] = []


class LeaseAnswer(BaseModel):
    """How a request stands.

    Attributes:
        granted: whether the run has its lease.
        behind: the first of those that are in its way, in the order in which they asked.
        count: how many these are in all.
    """

    granted: bool
    behind: list[Claimant] = []
    count: int = 0


class KeptClaim(BaseModel):
    """A claim in the state of a table; `keys` is the number of its key set there, or null for the whole scope."""

    owner: str
    workflow_id: str
    since: str
    keys: int | None
    told: bool
    asked: int = 1
    within: list[str] = []


class KeptTable(BaseModel):
    """The state of a table: claims in their order, and the sets of keys, each once."""

    claims: list[KeptClaim] = []
    key_sets: list[str] = []


def pack_keys(names: Iterable[str]) -> str:
    """Keys for these names, in no order of theirs: base64 of `KEY_BYTES` for each."""
    return b64encode(b"".join(sorted({sha256(name.encode()).digest()[:KEY_BYTES] for name in names}))).decode()


def unpack_keys(packed: str) -> frozenset[bytes]:
    """The keys, as `pack_keys` has packed them."""
    joined = b64decode(packed)
    return frozenset(joined[at : at + KEY_BYTES] for at in range(0, len(joined), KEY_BYTES))


def short_digest(text: str) -> str:
    """What stands for a name in a scope where people need not read it: eight hexadecimal digits."""
    return sha256(text.encode()).hexdigest()[:8]
