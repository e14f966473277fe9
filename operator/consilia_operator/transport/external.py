"""Somebody else's Kafka: whose users and rules are theirs to make; the operator only hands out what it is given."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from consilia.api import FederatedJob
from consilia.api.infrastructure import ExternalTransport
from consilia.errors import IdentityError
from consilia_operator.kinds import SECRET
from consilia_operator.transport.credentials import REMEMBERED_SECONDS, by_certificate, by_password, without
from consilia_operator.transport.interface import (
    AGGREGATOR,
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    PASSWORD_FILE,
    Cluster,
    Credentials,
    Document,
    GoneJob,
    NotReady,
    Ready,
)
from consilia_operator.transport.membership import Membership
from consilia_operator.transport.secrets import decoded

USERNAME_FILE = "username"
HOSPITALS_OWN = "consilia-log"
"""The Secret in a hospital's namespace with its credentials, where the hub has none for it."""
_LATER = 15.0


@dataclass(frozen=True, slots=True)
class _Known:
    credentials: Credentials
    until: float


class External:
    """The transport of jobs that name servers."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        """`clock` counts seconds, for what is remembered."""
        self._cluster, self._clock = cluster, clock
        self._known: dict[tuple[tuple[str, ...], tuple[str, str]], _Known] = {}

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See `Transport`."""
        transport = FederatedJob.model_validate(job).spec.transport
        assert transport is not None
        assert transport.external is not None
        asked, namespace = transport.external, job["metadata"]["namespace"]
        try:
            if asked.secret_ref is None:
                return Ready(parties=dict.fromkeys((AGGREGATOR, *hospitals), without(asked.bootstrap_servers)))
            parties = {}
            for party in (AGGREGATOR, *hospitals):
                found = await self._credentials(asked, namespace, party)
                if isinstance(found, NotReady):
                    return found
                parties[party] = found
            return Ready(parties=parties)
        except ValidationError as error:
            message = (
                f"spec.transport.external: {error.errors()[0]['msg']}. Make the job anew with host:port addresses."
            )
            return NotReady(reason="TransportInvalid", message=message, retry_seconds=_LATER, permanent=True)
        except IdentityError as error:
            return NotReady(reason="SecretDamaged", message=str(error), retry_seconds=_LATER)

    async def _credentials(self, asked: ExternalTransport, namespace: str, party: str) -> Credentials | NotReady:
        assert asked.secret_ref is not None
        name = asked.secret_ref.name
        places = (
            [(namespace, name)] if party == AGGREGATOR else [(namespace, f"{name}-{party}"), (party, HOSPITALS_OWN)]
        )
        for place in places:
            if found := await self._at(place, asked.bootstrap_servers):
                return found
        return _missing(party, places)

    async def _at(self, place: tuple[str, str], servers: tuple[str, ...]) -> Credentials | NotReady | None:
        """What a Secret says, read again after a while; None if there is none."""
        now = self._clock()
        if (known := self._known.get((servers, place))) and known.until > now:
            return known.credentials
        secret = await self._cluster.get(SECRET, *place)
        if secret is None:
            return None
        found = _read(servers, decoded(secret))
        if found is None:
            return _incomplete(place)
        self._known = {key: each for key, each in self._known.items() if each.until > now}
        self._known[servers, place] = _Known(found, now + REMEMBERED_SECONDS)
        return found

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """Never asked: the hub's log, which is for hospitals in other clusters, is managed or Strimzi's."""
        message = "Hospitals in other clusters join by way of the hub's log, which operator.outside.log names."
        return NotReady(reason="NotOutside", message=message, retry_seconds=_LATER, permanent=True)

    async def expel(self, namespace: str, hospital: str) -> None:
        """Nothing: see `admit`."""

    async def members(self, namespace: str) -> Collection[str]:
        """None: see `admit`."""
        return ()

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """None: see `admit`."""
        message = "Hub and hospital correspond over the hub's log, which operator.outside.log names."
        return NotReady(reason="NotOutside", message=message, retry_seconds=_LATER, permanent=True)

    async def keep_up(self, namespace: str, over: Sequence[Document]) -> NotReady | None:
        """Nothing: that is for whoever runs that Kafka."""
        return None

    async def retire(self, job: GoneJob) -> None:
        """Nothing: whoever runs that Kafka retires jobs there, with `consilia kafka retire`."""

    async def orphans(self, namespace: str, living: Callable[[str], bool]) -> list[str]:
        """None that are the operator's to let go of."""
        return []


def _read(servers: tuple[str, ...], files: Mapping[str, bytes]) -> Credentials | None:
    trust = files.get(CA_FILE, b"")
    if (certificate := files.get(CERTIFICATE_FILE)) and (key := files.get(KEY_FILE)):
        return by_certificate(servers, trust, certificate, key)
    user, password = (files.get(name, b"").decode(errors="replace").strip() for name in (USERNAME_FILE, PASSWORD_FILE))
    return by_password(servers, trust, user, password) if user and password else None


def _incomplete(place: tuple[str, str]) -> NotReady:
    message = f"The Secret {place[0]}/{place[1]} has neither {CERTIFICATE_FILE} with {KEY_FILE} nor {USERNAME_FILE} "
    message += f"with {PASSWORD_FILE}. Add one of the two pairs, and {CA_FILE}."
    return NotReady(reason="CredentialsIncomplete", message=message, retry_seconds=_LATER)


def _missing(party: str, places: Sequence[tuple[str, str]]) -> NotReady:
    namespace, name = places[0]
    whose = "The aggregator's" if party == AGGREGATOR else f"Hospital {party}'s"
    elsewhere = "".join(f", nor a Secret {other}/{its}" for other, its in places[1:])
    message = f"{whose} way to Kafka is not known: there is no Secret {namespace}/{name}{elsewhere}. Make it: "
    message += f"kubectl -n {namespace} create secret generic {name} --from-file={CA_FILE} "
    message += f"--from-file={USERNAME_FILE} --from-file={PASSWORD_FILE}; "
    message += "what its user must be allowed, `consilia kafka acls` prints."
    return NotReady(reason="CredentialsMissing", message=message, retry_seconds=_LATER)
