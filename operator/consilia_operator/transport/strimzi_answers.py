"""Why a Kafka of Strimzi's cannot be used as asked, or not yet, and what to do. Pure."""

from collections.abc import Sequence

from consilia_operator.kinds import Kind
from consilia_operator.names import HUB
from consilia_operator.transport.conditions import condition_message
from consilia_operator.transport.interface import Document, NotReady

SOON, LATER = 3.0, 60.0


def if_shared(found: Document | None, own: str) -> Document | None:
    """Who may make jobs in one namespace has no claim on another's objects, unless each of them says so.

    The namespace's own label says only that a hospital may be asked there.
    """
    return found if found and found["metadata"].get("labels", {}).get(HUB) == own else None


def missing() -> NotReady:
    """Strimzi, which somebody asks for."""
    message = "A Kafka of Strimzi's needs Strimzi 1.0 or newer (kafka.strimzi.io/v1), which is not installed. Install "
    message += "it, or use managed Kafka: make the job anew without transport, and set operator.outside.log to Managed."
    return NotReady(reason="StrimziMissing", message=message, retry_seconds=LATER)


def not_shared(kind: Kind, namespace: str, name: str, own: str) -> NotReady:
    """The same whether or not there is one, which is not for everybody to know."""
    message = f"Namespace {namespace} has no {kind.kind} {name} that lets jobs of {own} use it. Whoever owns it says: "
    message += f"kubectl -n {namespace} label {kind.kind.lower()} {name} {HUB}={own}"
    return NotReady(reason="StrimziNotShared", message=message, retry_seconds=LATER)


def waiting(document: Document) -> NotReady:
    """What was asked for is not made yet."""
    metadata, kind = document["metadata"], document["kind"]
    what = f"{kind} {metadata['namespace']}/{metadata['name']}"
    said = condition_message(document, "NotReady") or condition_message(document, "Ready") or "it has not answered yet"
    message = f"Strimzi has not made {what} ready: {said}. See that its operators run, and look at it: kubectl -n "
    message += f"{metadata['namespace']} describe {kind.lower()} {metadata['name']}."
    return NotReady(reason=f"{kind}Pending", message=message, retry_seconds=SOON)


def taken(document: Document) -> NotReady:
    """Somebody else has made one of that name."""
    metadata, kind = document["metadata"], document["kind"]
    message = f"{kind} {metadata['namespace']}/{metadata['name']} is there already and was made for something else. "
    message += "Delete it, or give the hospital another name."
    return NotReady(reason=f"{kind}Taken", message=message, retry_seconds=LATER)


def without_secret(namespace: str, user: str, secret: str) -> NotReady:
    """Strimzi calls a user ready whose Secret is of no use here."""
    message = f"The Secret {namespace}/{secret} of KafkaUser {user} does not hold what its listener asks for. "
    message += "See that the user's authentication is of the listener's type."
    return NotReady(reason="KafkaUserPending", message=message, retry_seconds=SOON)


def unreachable(why: str) -> NotReady:
    """The settings let no hospital come from another cluster."""
    message = f"The hub's log is to be a Kafka of Strimzi's that is not there, and none can be made: {why} "
    message += "Set operator.outside in the chart's values: type, host and port."
    return NotReady(reason="NotOutside", message=message, retry_seconds=LATER)


def believes_others(kafka: Document, why: str) -> NotReady:
    """Whoever has the other authority's key could come as any hospital."""
    namespace, name = kafka["metadata"]["namespace"], kafka["metadata"]["name"]
    message = f"Kafka {namespace}/{name} {why}. Set its spec.clientsCa.generateCertificateAuthority to false, and have "
    message += f"the Secret {name}-clients-ca-cert hold the certificates of the hub's Secret consilia-kafka-members-ca "
    message += "and no others; the guide for hubs has the commands."
    return NotReady(reason="ClientsCaForeign", message=message, retry_seconds=LATER)


def door_unfit(namespace: str, name: str) -> NotReady:
    """Passwords would be Strimzi's to make and somebody's to carry to the hospital."""
    message = f"Kafka {namespace}/{name} does not ask for tls at the listener that hospitals in other clusters call. "
    message += "Correct its authentication, or name another in operator.outside.strimzi.listener."
    return NotReady(reason="ListenerUnfit", message=message, retry_seconds=LATER)


def other_hub(document: Document) -> NotReady:
    """Two hubs on one Kafka would read each other's letters."""
    metadata = document["metadata"]
    message = (
        f"KafkaUser {metadata['namespace']}/{metadata['name']} is another hub's, or somebody else's: hospitals in "
    )
    message += "other clusters need a Kafka for each hub. Name another in operator.outside.strimzi, or delete it."
    return NotReady(reason="KafkaUserTaken", message=message, retry_seconds=LATER)


def elsewhere(log: str, members: Sequence[str], way_out: str) -> NotReady:
    """A job over a Kafka that its hospitals in other clusters are not let into."""
    message = f"{', '.join(members)}: in other clusters, and reach nothing but the hub's log, which is {log}. "
    message += f"Make the job anew {way_out}, or without these hospitals; which log that is says operator.outside.log."
    return NotReady(reason="MembersElsewhere", message=message, retry_seconds=LATER, permanent=True)
