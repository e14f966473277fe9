"""Finds the Kafka of Strimzi's that is named, or makes it; the hub's log with a door for other clusters."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import SECRET, STRIMZI_KAFKA
from consilia_operator.transport import strimzi_answers, strimzi_outside
from consilia_operator.transport.authorities import Authorities
from consilia_operator.transport.certificates import Certificates
from consilia_operator.transport.foundation import Surroundings
from consilia_operator.transport.interface import Cluster, Document, NotReady
from consilia_operator.transport.strimzi_listener import Listener, listener_of
from consilia_operator.transport.strimzi_objects import Place, kafka
from consilia_operator.transport.strimzi_outside import CERTIFICATES, KEY


class Places:
    """Of all namespaces."""

    def __init__(self, cluster: Cluster, surroundings: Surroundings) -> None:
        self._cluster, self._settings = cluster, surroundings.settings
        self._now: Callable[[], datetime] = surroundings.now
        self._certificates = Certificates(cluster, surroundings.settings, surroundings.now)

    async def listener(self, own: str, place: Place, name: str) -> Listener | NotReady:
        """Where the Kafka is reached, and how one logs in there, for the namespace `own`."""
        found = await self.kafka(own, place, name)
        return found if isinstance(found, NotReady) else listener_of(found, name)

    async def kafka(self, own: str, place: Place, listener: str) -> Document | NotReady:
        """The Kafka itself: in the jobs' own namespace it is made where there is none."""
        if not await self._cluster.exists(STRIMZI_KAFKA):
            return strimzi_answers.missing()
        found = await self._cluster.get(STRIMZI_KAFKA, place.namespace, place.cluster)
        if place.namespace != own:
            shared = strimzi_answers.if_shared(found, own)
            return shared or strimzi_answers.not_shared(STRIMZI_KAFKA, place.namespace, place.cluster, own)
        return found or await self._make(own, place, listener)

    async def _make(self, own: str, place: Place, listener: str) -> Document | NotReady:
        outside = self._settings.outside
        doors: list[Document] = []
        if place == strimzi_outside.place_of(self._settings, own):
            if why := strimzi_outside.cannot_be_made(outside):
                return strimzi_answers.unreachable(why)
            # Strimzi looks for them when it sees the Kafka.
            await self._write_clients_ca(place, await self.authorities(own))
            listener, doors = outside.strimzi.own_listener, [strimzi_outside.listener(outside)]
        made: Document = {}
        for document in kafka(place, listener, doors):
            made = await self._cluster.create_once(document)  # the Kafka comes last
        return made

    async def authorities(self, hub: str) -> Authorities:
        """Who signs for the hospitals of a hub, whichever Kafka its log is.

        Raises:
            IdentityError: what its Secret holds is damaged.
        """
        return await self._certificates.members(hub)

    async def refusal(self, own: str, place: Place, found: Document, authorities: Authorities) -> NotReady | None:
        """Why no hospital may come to that Kafka: it believes others than our authority.

        Raises:
            IdentityError: what a Secret holds is damaged.
        """
        if found["spec"].get("clientsCa", {}).get("generateCertificateAuthority") is not False:
            return strimzi_answers.believes_others(found, "has an authority of its own for its clients")
        if place.namespace == own:
            await self._write_clients_ca(place, authorities)
        why = strimzi_outside.why_not_believed(await self._secret(place, CERTIFICATES), authorities, self._now())
        return strimzi_answers.believes_others(found, why) if why else None

    async def _write_clients_ca(self, place: Place, authorities: Authorities) -> None:
        """Unless somebody else has written them."""
        certificates, key = await self._secret(place, CERTIFICATES), await self._secret(place, KEY)
        if strimzi_outside.is_ours_to_write(certificates) and strimzi_outside.is_ours_to_write(key):
            for document in strimzi_outside.clients_ca(place, authorities, certificates, key):
                await self._cluster.apply(document)

    async def _secret(self, place: Place, what: str) -> Document | None:
        """None also where it may not be read."""
        try:
            return await self._cluster.get(SECRET, place.namespace, f"{place.cluster}-{what}")
        except ApiRefused as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            return None
