"""The operator's Lease (coordination.k8s.io/v1): one process at a time decides, whatever the Deployment does."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from consilia.errors import FencedError
from consilia_operator.api_server import ApiServer
from consilia_operator.errors import ApiRefused, ApiUnavailable, Conflict
from consilia_operator.kinds import LEASE

logger = logging.getLogger("consilia.operator.lease")

NAME = "consilia-operator"


@dataclass(slots=True)
class Lease:
    """Held by one process, for `seconds` after each renewal."""

    api: ApiServer
    namespace: str
    holder: str
    seconds: int
    _held_until: float = field(default=0.0)

    async def acquire(self) -> None:
        """Wait until it is ours."""
        while not await self._try():
            logger.info("another operator holds the Lease %s/%s; waiting", self.namespace, NAME)
            await asyncio.sleep(self.seconds / 6)
        logger.info("holding the Lease %s/%s as %s", self.namespace, NAME, self.holder)

    async def keep(self) -> None:
        """Renew it for ever.

        Raises:
            FencedError: it could not be renewed in time, or another has taken it; this process must not go on.
        """
        while True:
            await asyncio.sleep(self.seconds / 3)
            if not await self._try_in_time():
                message = f"the Lease {self.namespace}/{NAME} was lost."
                raise FencedError(message, remedy="Nothing needs to be done: the operator starts again.")

    async def _try_in_time(self) -> bool:
        """Whether it was renewed before it ended; an API server that keeps us waiting does not prolong it."""
        try:
            async with asyncio.timeout(self._held_until - monotonic()):
                return await self._try()
        except TimeoutError:
            return False

    async def release(self) -> None:
        """Let the next one have it at once."""
        found = await self.api.get(LEASE, self.namespace, NAME)
        if found and found["spec"].get("holderIdentity") == self.holder:
            found["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
            await self.api.replace(found)

    async def _try(self) -> bool:
        """Take or renew it; False if another holds it."""
        asked = monotonic()
        try:
            found = await self.api.get(LEASE, self.namespace, NAME)
            now = datetime.now(UTC)
            if found is None:
                await self.api.create(self._document({}, now))
            elif free(found, self.holder, now):
                await self.api.replace(found | {"spec": self._spec(found["spec"], now)})
            else:
                return False
        except Conflict:
            return False
        except (ApiRefused, ApiUnavailable) as error:
            logger.warning("cannot renew the Lease: %s", error)
            return asked < self._held_until
        self._held_until = asked + self.seconds
        return True

    def _document(self, before: dict[str, Any], now: datetime) -> dict[str, Any]:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": self._spec(before, now),
        }

    def _spec(self, before: dict[str, Any], now: datetime) -> dict[str, Any]:
        mine = before.get("holderIdentity") == self.holder
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.seconds,
            "renewTime": _micro(now),
            "acquireTime": before["acquireTime"] if mine and "acquireTime" in before else _micro(now),
            "leaseTransitions": before.get("leaseTransitions", 0) + (0 if mine else 1),
        }


def free(lease: dict[str, Any], holder: str, now: datetime) -> bool:
    """Whether `holder` may take it: it is theirs, nobody's, or not renewed in time."""
    spec = lease["spec"]
    if spec.get("holderIdentity", "") in {"", holder} or "renewTime" not in spec:
        return True
    lasts = timedelta(seconds=spec.get("leaseDurationSeconds", 0))
    return datetime.fromisoformat(spec["renewTime"]) + lasts < now


def _micro(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
