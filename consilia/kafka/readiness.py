"""Whether a node can be talked to, as kafka-python's producer asks for it.

kafka-python 3.0's `await_ready` raises where a node is away, and its producer (`Sender._maybe_send_pending_request`)
then drops the request it was about to send to the transaction coordinator: the transaction would wait for it until
delivery times out. Where the answer is no, the producer keeps the request and looks for the coordinator anew.
"""

from kafka.errors import KafkaError
from kafka.net import KafkaNetClient

_PATIENCE = 2000
"""How long to wait for a connection, in milliseconds: the coordinator may be another node by then."""


class Client(KafkaNetClient):  # type: ignore[misc]  # kafka-python has no types
    """What a producer talks through."""

    def await_ready(self, node_id: int | str, timeout_ms: float = _PATIENCE) -> bool:
        """Whether the node can be talked to, at the latest after `timeout_ms`, and never long."""
        try:
            return bool(super().await_ready(node_id, min(timeout_ms, _PATIENCE)))
        except KafkaError:
            return False
