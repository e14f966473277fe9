"""Hospital: a party that the hub accepted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from consilia.api.privacy import Unit
from consilia.api.resource import ApiObject, Conditions, Resource, Status
from consilia.api.rules import Rule, Transition, unchanged
from consilia.api.scalars import Bool, Int, KeyedList, Name, Sha256, ShortText, Timestamp

PublicKeyText = Annotated[
    str,
    Field(
        pattern=r"^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PUBLIC KEY-----\n?$",
        max_length=512,
    ),
]


CertificateRequestText = Annotated[
    str,
    Field(
        pattern=r"^-----BEGIN CERTIFICATE REQUEST-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE REQUEST-----\n?$",
        max_length=8192,
    ),
]
WhichCluster = Literal["Hub", "Own"]


class HospitalSpec(ApiObject):
    """Who the hospital is. Its metadata.labels are what jobs select by."""

    display_name: ShortText | None = Field(default=None, description="The name that people know it by.")
    accepted: Bool = Field(default=False, description="Whether the hub's owner admits it to jobs.")
    public_key: PublicKeyText | None = Field(
        default=None,
        description="Its Ed25519 public key in PEM form: what it signs counts as said by it. Needed for a hospital in "
        "a cluster of its own. Default: the key that its namespace shows; set here, no other one is taken.",
    )

    cluster: WhichCluster = Field(
        default="Hub",
        description="Where it is. `Hub`: the namespace of its name, in the hub's own cluster. `Own`: a cluster of its "
        "own, which is reached over the log only; `consilia enroll admit` makes such a Hospital from its request.",
    )
    certificate_request: CertificateRequestText | None = Field(
        default=None,
        description="For the certificate that it logs in with (PKCS#10 in PEM form); the key to it is the hospital's.",
    )
    cluster_digest: Sha256 | None = Field(
        default=None, description="Stands for its cluster: one that asks again under another name is noticed."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.cluster != 'Own' || (has(self.publicKey) && has(self.certificateRequest))",
            holds=lambda spec: (
                spec.cluster != "Own" or (spec.public_key is not None and spec.certificate_request is not None)
            ),
            message="a hospital with a cluster of its own needs publicKey and certificateRequest",
            remedy="admit it with its request: consilia enroll admit request.json",
            field="cluster",
        ),
    )
    transitions: ClassVar[tuple[Transition, ...]] = (
        *unchanged("cluster", remedy="delete the Hospital, and admit it anew"),
        Transition(
            cel="!has(oldSelf.publicKey) || !self.accepted || !oldSelf.accepted"
            " || (has(self.publicKey) && self.publicKey == oldSelf.publicKey)",
            holds=lambda new, old: (
                old.public_key is None or not new.accepted or not old.accepted or new.public_key == old.public_key
            ),
            message="the publicKey of an accepted hospital is neither replaced nor removed",
            remedy="set accepted: false first, and true again together with the new key",
            field="publicKey",
        ),
    )


class HospitalDataset(ApiObject):
    """A data set that the hospital says it has."""

    name: Name = Field(description="The logical name.")
    unit: Unit = Field(description="What its privacy budget protects.")
    size: ShortText | None = Field(default=None, description="How many records it has, as a range.")


class HospitalGpu(ApiObject):
    """GPUs of one kind."""

    product: ShortText = Field(description="The kind, such as NVIDIA-H100.")
    count: Int = Field(ge=0, le=100_000, description="How many the hospital offers.")


class HospitalLedger(ApiObject):
    """Where the hospital's ledger ended when it was seen last."""

    entries: Int = Field(ge=0, description="How many entries it had.")
    head: Sha256 = Field(description="Digest of its last entry.")


class HospitalStatus(Status):
    """What is known of the hospital."""

    conditions: Conditions = Field(
        default=(),
        description="`Joined`: it showed its key. `Available`: it was heard of lately.",
    )
    public_key: PublicKeyText | None = Field(
        default=None, description="The key that its namespace showed; used where `spec.publicKey` is not set."
    )
    last_heartbeat: Timestamp | None = Field(default=None, description="When it was last heard of.")
    operator_version: ShortText | None = Field(default=None, description="The version of Consilia that it runs.")
    datasets: Annotated[tuple[HospitalDataset, ...], Field(max_length=256), KeyedList(("name",))] = Field(
        default=(), description="What data it offers."
    )
    ledger: HospitalLedger | None = Field(
        default=None,
        description="Where its ledger ended when it was seen last: an older copy of it is noticed by that.",
    )
    gpus: Annotated[tuple[HospitalGpu, ...], Field(max_length=32), KeyedList(("product",))] = Field(
        default=(), description="What GPUs it offers."
    )


class Hospital(Resource):
    """A party that the hub knows; its namespace's name in one cluster, its own cluster otherwise."""

    kind: Literal["Hospital"] = "Hospital"
    spec: HospitalSpec = Field(default=HospitalSpec(), description="Who the hospital is.")
    status: HospitalStatus | None = Field(
        default=None, description="What is known of it; written by the hub's operator."
    )
