"""Who has which lease, and who waits for it: a queue that is fair to all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from dbt_temporal.domain.leases.messages import (
    Claimant,
    KeptClaim,
    KeptTable,
    LeaseAnswer,
    LeaseRequest,
    unpack_keys,
)

MAX_SHOWN = 5
"""How many claims an answer names that are in the way."""
MAX_KEPT_CHARS = 1_000_000
"""Of all sets of keys, so that the state of a table fits into a message. Beyond, a claim is for the whole scope."""

_keys_of = lru_cache(maxsize=64)(unpack_keys)


@lru_cache(maxsize=65536)
def _meet(one: str, other: str) -> bool:
    return one == other or not _keys_of(one).isdisjoint(_keys_of(other))


@dataclass(eq=False)
class _Claim:
    owner: str
    workflow_id: str
    since: str
    packed: str | None
    """None for the whole scope."""
    granted: bool = False
    told: bool = False
    """Whether its run knows that it has it."""
    asked: int = 0
    within: tuple[str, ...] = ()
    """Owners whose claims are not in its way, since they wait for its run."""

    def meets(self, other: _Claim) -> bool:
        if other.owner in self.within or self.owner in other.within:
            return False
        return self.packed is None or other.packed is None or _meet(self.packed, other.packed)

    def includes(self, packed: str) -> bool:
        return self.packed in (None, packed) or _keys_of(self.packed or "") >= _keys_of(packed)

    def claimant(self) -> Claimant:
        return Claimant(
            owner=self.owner, workflow_id=self.workflow_id, since=self.since, granted=self.granted, asked=self.asked
        )


class LeaseTable:
    """The claims of one scope, in the order in which they were made.

    A claim is granted when it meets none that was made before it, whether that is granted or waits. So nobody is
    overtaken by whom he waits for, claims that do not meet stand beside each other, and as a claim is for all of its
    keys at once, no two wait for each other. The claim of a run that another has started, and waits for, stands with
    the other's; it may then also meet one that was granted after that.
    """

    def __init__(self, kept: KeptTable | None = None) -> None:
        kept = kept or KeptTable()
        self._claims = [
            _Claim(
                owner=claim.owner,
                workflow_id=claim.workflow_id,
                since=claim.since,
                packed=None if claim.keys is None else kept.key_sets[claim.keys],
                told=claim.told,
                asked=claim.asked,
                within=tuple(claim.within),
            )
            for claim in kept.claims
        ]
        self._grant()

    def ask(self, request: LeaseRequest, now: str) -> LeaseAnswer:
        """Takes a request up, and says how it stands.

        Args:
            request: whoever has a claim already that includes it keeps his place.
            now: in ISO 8601 with time zone.
        """
        self.drop_closed(request.closed)
        claim = self._find(request.owner)
        is_elsewhere = claim is not None and not claim.granted and not {*request.within} <= {*claim.within}
        if claim is None or is_elsewhere or not claim.includes(request.lease.keys):
            self.drop([request.owner])
            claim = _Claim(request.owner, request.workflow_id, now, self._fitting(request.lease.keys))
            claim.within = tuple(request.within)
            self._claims.insert(self._place_of(claim), claim)
            self._grant()
        claim.asked += 1
        # The answer tells it.
        claim.told = claim.granted
        behind = self._in_the_way_of(claim)
        if behind and not request.waits:
            self.drop([request.owner])
        shown = [each.claimant() for each in behind[:MAX_SHOWN]]
        return LeaseAnswer(granted=not behind, behind=shown, count=len(behind))

    def drop(self, owners: Collection[str]) -> None:
        """Ends the claims of these runs, if they have any, whether they were granted or not."""
        self._claims = [claim for claim in self._claims if claim.owner not in owners]
        self._grant()

    def drop_closed(self, found: Iterable[Claimant]) -> None:
        """Ends claims whose runs were found to be closed, unless they have asked again since: after a reset."""
        asked = {each.owner: (each.since, each.asked) for each in found}
        self.drop([claim.owner for claim in self._claims if asked.get(claim.owner) == (claim.since, claim.asked)])

    def to_tell(self) -> list[Claimant]:
        """Those who have what they waited for, and have not been told."""
        return [claim.claimant() for claim in self._claims if claim.granted and not claim.told]

    def told(self, owner: str) -> None:
        """A run was told that it has its lease."""
        claim = self._find(owner)
        if claim is not None:
            claim.told = claim.granted

    def to_look_at(self) -> list[Claimant]:
        """Those who wait, and those for whom they wait, in order."""
        waiting = [claim for claim in self._claims if not claim.granted]
        found = {each.owner for claim in waiting for each in (claim, *self._in_the_way_of(claim))}
        return [claim.claimant() for claim in self._claims if claim.owner in found]

    def claimants(self) -> list[Claimant]:
        """All, in order."""
        return [claim.claimant() for claim in self._claims]

    @property
    def empty(self) -> bool:
        """Whether there are no claims."""
        return not self._claims

    @property
    def waiting(self) -> bool:
        """Whether somebody waits."""
        return not all(claim.granted for claim in self._claims)

    def kept(self) -> KeptTable:
        """The state, from which another table can be made."""
        sets = {claim.packed: None for claim in self._claims if claim.packed is not None}
        number = {packed: at for at, packed in enumerate(sets)}
        claims = [
            KeptClaim(
                owner=claim.owner,
                workflow_id=claim.workflow_id,
                since=claim.since,
                keys=None if claim.packed is None else number[claim.packed],
                told=claim.told,
                asked=claim.asked,
                within=list(claim.within),
            )
            for claim in self._claims
        ]
        return KeptTable(claims=claims, key_sets=list(sets))

    def _find(self, owner: str) -> _Claim | None:
        return next((claim for claim in self._claims if claim.owner == owner), None)

    def _fitting(self, packed: str) -> str | None:
        sets = {claim.packed for claim in self._claims if claim.packed is not None} | {packed}
        return packed if sum(map(len, sets)) <= MAX_KEPT_CHARS else None

    def _place_of(self, claim: _Claim) -> int:
        above = [at for at, each in enumerate(self._claims) if each.owner in claim.within]
        return above[-1] + 1 if above else len(self._claims)

    def _in_the_way_of(self, claim: _Claim) -> list[_Claim]:
        if claim.granted:
            return []
        at = self._claims.index(claim)
        return [each for n, each in enumerate(self._claims) if (n < at or each.granted) and each.meets(claim)]

    def _grant(self) -> None:
        for claim in self._claims:
            claim.granted = not self._in_the_way_of(claim)
