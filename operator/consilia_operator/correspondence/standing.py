"""What a hub wants its hospitals to know, against what it has told them: the letters that are due. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from consilia.wire.correspondence import HANDOUT_KEY, FromHub, Handout, Offer, Recall

Document = dict[str, Any]

HOLDS_SECONDS = 86_400.0
"""How long an offer holds without being said again: so long a hospital keeps a GPU for a hub that is silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One job, for one hospital."""

    job: Document = field(repr=False)
    """As its parties are told it."""
    roster: Mapping[str, Any] = field(repr=False)
    suspend: bool = False


Place = tuple[str, str]
"""A hospital's name, and the key of what is said: a job's uid, or `HANDOUT_KEY`."""


def due(
    wanted: Mapping[Place, Wanted], said: Mapping[Place, FromHub], gone: Iterable[str], hub: str, now: float
) -> list[FromHub]:
    """Offers that are new, are others than before, or end soon; recalls of jobs that are `gone`, by uid."""
    letters: list[FromHub] = []
    for (hospital, uid), want in wanted.items():
        before = said.get((hospital, uid))
        if not (isinstance(before, Offer) and _says(before, want) and before.expires - now > HOLDS_SECONDS * 2 / 3):
            letters.append(
                Offer(
                    hub=hub,
                    hospital=hospital,
                    serial=0,
                    issued=now,
                    uid=uid,
                    expires=now + HOLDS_SECONDS,
                    job=want.job,
                    roster=dict(want.roster),
                    suspend=want.suspend,
                )
            )
    lost = set(gone)
    letters += [
        Recall(hub=hub, hospital=hospital, serial=0, issued=now, uid=uid)
        for (hospital, uid), before in said.items()
        if uid in lost and (hospital, uid) not in wanted and isinstance(before, Offer)
    ]
    return letters


def _says(offer: Offer, want: Wanted) -> bool:
    return (offer.job, offer.roster, offer.suspend) == (want.job, dict(want.roster), want.suspend)


def due_handouts(bundles: Mapping[str, Document], said: Mapping[Place, FromHub], hub: str, now: float) -> list[FromHub]:
    """Bundles, by hospital, that are others than what was handed out last."""
    letters: list[FromHub] = []
    for hospital, bundle in bundles.items():
        before = said.get((hospital, HANDOUT_KEY))
        if not (isinstance(before, Handout) and before.bundle == bundle):
            letters.append(Handout(hub=hub, hospital=hospital, serial=0, issued=now, bundle=bundle))
    return letters


def numbered(letters: Iterable[FromHub], last: int, now: float) -> list[FromHub]:
    """The same with serials: after the `last`, and never before those of an earlier life of this hub."""
    begin = max(last + 1, int(now * 1000))
    return [each.model_copy(update={"serial": begin + number}) for number, each in enumerate(letters)]
