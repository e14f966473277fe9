"""Certificates are there before they are needed, replaced before they end, and never unknown to who must check them."""

import asyncio
from datetime import timedelta

import pytest
from api_server_in_memory import ApiServerInMemory
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from transports import HUB, Clock, operator_settings, waits_for

from consilia.errors import IdentityError
from consilia_operator import kinds
from consilia_operator.kinds import CERTIFICATE, SECRET
from consilia_operator.transport import authorities
from consilia_operator.transport.authorities import Authorities, parse_bundle
from consilia_operator.transport.certificates import Certificates
from consilia_operator.transport.leaves import Leaf
from consilia_operator.transport.managed_plan import AUTHORITY_SECRET, BROKERS_SECRET, OPERATOR_SECRET, Plan
from consilia_operator.transport.secrets import decoded, encoded

ISSUER = {"issuing": "CertManager", "issuerRef": {"name": "hospital-ca", "kind": "ClusterIssuer"}}


class World:
    """One namespace, whose certificates are looked after as time goes by."""

    def __init__(self, api=None, **certificates):
        self.clock, self.api = Clock(), api or ApiServerInMemory()
        self.settings = operator_settings(certificates=certificates)
        self.plan = Plan.wanted(HUB, None, self.settings)
        self.certificates = Certificates(self.api, self.settings, self.clock.time)

    def ensure(self):
        return asyncio.run(self.certificates.ensure(self.plan))

    def writes(self):
        found = [call for call in self.api.calls if call[0] in {"apply", "create"}]
        self.api.calls.clear()
        return [call[3] for call in found]

    def secret(self, name):
        return decoded(self.api.there(SECRET, HUB, name))


def certificate(files):
    return x509.load_pem_x509_certificate(files["tls.crt"])


def accepts(trust, files, at, host):
    """Whether who believes `trust` would take the certificate for that server's, as OpenSSL checks it."""
    verifier = PolicyBuilder().store(Store(parse_bundle(trust))).time(at).build_server_verifier(x509.DNSName(host))
    try:
        verifier.verify(certificate(files), [])
    except VerificationError:
        return False
    return True


def signed_by_one_of(trust, files):
    """The same for a client's, of which Kafka wants no name."""
    issuer = certificate(files).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    known = [each.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value for each in parse_bundle(trust)]
    return issuer in [each.digest for each in known]


def names(files):
    found = certificate(files).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName)


def test_they_are_made_once_and_then_left_alone():
    world = World()
    first = world.ensure()
    assert sorted(world.writes()) == [BROKERS_SECRET, AUTHORITY_SECRET, OPERATOR_SECRET]
    assert world.ensure() == first
    assert world.writes() == []


def test_the_brokers_certificate_is_for_every_broker_by_the_name_that_it_is_told_to_others_by():
    world = World()
    keys = world.ensure()
    for host in world.plan.hosts:
        assert host in names(keys.brokers)


def test_the_operators_certificate_is_no_servers():
    keys = World().ensure()
    use = certificate(keys.operator).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_certificate_is_replaced_before_its_end_and_not_much_earlier():
    world = World(lastsDays=90, renewDays=30)
    first = world.ensure()
    world.clock.forward(days=59)
    assert world.ensure().brokers == first.brokers
    world.clock.forward(days=2)
    assert world.ensure().brokers != first.brokers
    assert world.writes()[-2:] == [BROKERS_SECRET, OPERATOR_SECRET]


def test_settings_that_would_replace_it_for_ever_do_not():
    world = World(lastsDays=10, renewDays=30)
    world.ensure()
    world.writes()
    world.clock.forward(days=1)
    world.ensure()
    assert world.writes() == []


def test_looked_after_every_fortnight_for_twenty_five_years_every_certificate_is_always_good():
    world, believed = World(lastsDays=90, renewDays=30), {}
    for fortnight in range(26 * 25):
        keys = world.ensure()
        assert accepts(keys.trust, keys.brokers, world.clock.now, world.plan.hosts[0])
        believed[fortnight] = keys.trust
        month_ago = believed.get(fortnight - 2, keys.trust)
        # Who started a month ago has heard of no news since.
        assert accepts(month_ago, keys.brokers, world.clock.now, world.plan.hosts[0])
        assert signed_by_one_of(month_ago, keys.operator)
        assert len(parse_bundle(keys.trust)) <= 2
        world.clock.forward(days=14)
    assert len(set(believed.values())) >= 4, "the authority was never replaced"


def test_a_new_authority_is_believed_before_it_signs_and_the_old_one_after_it_does():
    world = World()
    first = world.ensure()
    (old,) = parse_bundle(first.trust)
    world.clock.forward(days=3650 - 364)
    told = world.ensure()
    assert len(parse_bundle(told.trust)) == 2
    assert certificate(told.brokers).verify_directly_issued_by(old) is None
    world.clock.forward(days=30)
    moved = world.ensure()
    (new,) = (each for each in parse_bundle(moved.trust) if each != old)
    assert certificate(moved.brokers).verify_directly_issued_by(new) is None
    assert parse_bundle(moved.trust) == [new, old]
    world.clock.forward(days=400)
    assert parse_bundle(world.ensure().trust) == [new]


@pytest.mark.parametrize("years", [10, 11, 50])
def test_an_operator_that_was_away_for_years_begins_anew(years):
    world = World()
    world.ensure()
    world.clock.forward(days=366 * years)
    keys = world.ensure()
    assert accepts(keys.trust, keys.brokers, world.clock.now, world.plan.hosts[0])


def test_a_step_that_was_cut_off_is_taken_again_and_ends_the_same():
    clock = Clock()
    before = Authorities.begin(clock.now)
    clock.forward(days=3650 - 100)
    told = before.at(clock.now)
    again = Authorities.read(told.files())
    assert again.files() == told.files()
    assert again.at(clock.now).files() == told.files()
    clock.forward(days=31)
    assert again.at(clock.now).files() == told.at(clock.now).files()


def test_the_signers_key_stays_in_its_secret():
    world = World()
    keys = world.ensure()
    private = world.secret(AUTHORITY_SECRET)["signer.key"].splitlines()[1]
    assert private not in keys.trust
    assert "PRIVATE" not in repr(keys)
    for name in (BROKERS_SECRET, OPERATOR_SECRET):
        assert private not in b"".join(world.secret(name).values())


@pytest.mark.parametrize(
    "damage",
    [
        lambda files: {},
        lambda files: files | {"tls.crt": b"rubbish"},
        lambda files: files | {"tls.key": b""},
        lambda files: files | {"tls.key": Authorities.begin(Clock().now).files()["signer.key"]},
    ],
)
def test_a_damaged_certificate_is_replaced(damage):
    world = World()
    first = world.ensure()
    there = world.api.there(SECRET, HUB, BROKERS_SECRET)
    world.api.put(there | {"data": encoded(damage(world.secret(BROKERS_SECRET)))})
    world.writes()
    assert world.ensure().brokers != first.brokers
    assert world.writes() == [BROKERS_SECRET]


def test_more_brokers_or_another_domain_get_another_certificate():
    world = World()
    world.ensure()
    world.plan = Plan.wanted(HUB, None, operator_settings(clusterDomain="example.org"))
    assert all(host.endswith(("example.org", ".svc")) for host in names(world.ensure().brokers))


@pytest.mark.parametrize("data", [{"signer.key": "%%%"}, {"signer.key": "cnViYmlzaA==", "signer.crt": "cnViYmlzaA=="}])
def test_a_damaged_authority_is_named_and_never_replaced_unasked(data):
    world = World()
    world.ensure()
    world.api.put(world.api.there(SECRET, HUB, AUTHORITY_SECRET) | {"data": data})
    with pytest.raises(IdentityError):
        world.ensure()
    assert world.api.there(SECRET, HUB, AUTHORITY_SECRET)["data"] == data


def test_two_operators_at_once_make_one_authority():
    world = World()
    other = World(world.api)

    async def both():
        return await asyncio.gather(*(each.certificates.ensure(each.plan) for each in (world, other)))

    one, two = asyncio.run(both())
    assert one.trust == two.trust == world.secret(AUTHORITY_SECRET)["ca.crt"]


class CertManager:
    """Answers Certificates as cert-manager does, with a CA of its own."""

    def __init__(self, world):
        self._world, self.authority = world, Authorities.begin(world.clock.now)

    def issue(self):
        for request in self._world.api.every():
            if request["kind"] == CERTIFICATE.kind:
                spec = request["spec"]
                leaf = Leaf(principal=spec["commonName"], hosts=tuple(spec.get("dnsNames", ())))
                files = leaf.issue(self.authority.signer, self._world.clock.now, timedelta(days=90))
                files["ca.crt"] = self.authority.signer.certificate_pem
                metadata = {"name": spec["secretName"], "namespace": HUB}
                secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls"}
                self._world.api.put(secret | {"data": encoded(files)})


def test_cert_manager_is_asked_and_waited_for_and_its_certificates_are_used():
    world = World(**ISSUER)
    waiting = waits_for(world.ensure(), "CertificatesPending")
    assert f"{HUB}/{BROKERS_SECRET}" in waiting.message
    CertManager(world).issue()
    waits_for(world.ensure(), "CertificatesPending")
    CertManager(world).issue()
    keys = world.ensure()
    assert accepts(keys.trust, keys.brokers, world.clock.now, world.plan.hosts[0])
    spec = world.api.there(CERTIFICATE, HUB, BROKERS_SECRET)["spec"]
    assert spec["privateKey"]["encoding"] == "PKCS8"
    assert spec["issuerRef"] == ISSUER["issuerRef"]
    assert set(world.secret(AUTHORITY_SECRET)) == {"ca.crt"}


def test_when_cert_managers_authority_changes_the_old_one_is_believed_as_long_as_it_lasts():
    world = World(**ISSUER)
    first = CertManager(world)
    for _ in range(2):
        world.ensure()
        first.issue()
    before = parse_bundle(world.ensure().trust)
    CertManager(world).issue()
    assert set(before) < set(parse_bundle(world.ensure().trust))
    world.clock.forward(days=3651)
    CertManager(world).issue()
    assert len(parse_bundle(world.ensure().trust)) == 1


def test_what_cert_manager_says_of_a_certificate_is_passed_on():
    world = World(**ISSUER)
    world.ensure()
    request = world.api.there(CERTIFICATE, HUB, BROKERS_SECRET)
    conditions = [{"type": "Ready", "status": "False", "message": "issuer hospital-ca not found"}]
    world.api.put(request | {"status": {"conditions": conditions}})
    assert "issuer hospital-ca not found" in waits_for(world.ensure(), "CertificatesPending").message


def test_without_cert_manager_or_without_an_issuer_that_is_said():
    served = [kind for kind in kinds._ALL.values() if kind != CERTIFICATE]
    waits_for(World(ApiServerInMemory(served), **ISSUER).ensure(), "CertManagerMissing")
    waits_for(World(issuing="CertManager").ensure(), "CertificatesMisconfigured")


def test_from_cert_manager_back_to_an_own_authority_nobody_is_cut_off():
    world = World(**ISSUER)
    manager = CertManager(world)
    for _ in range(2):
        world.ensure()
        manager.issue()
    before = parse_bundle(world.ensure().trust)
    own = World(world.api)
    keys = own.ensure()
    assert set(before) < set(parse_bundle(keys.trust))
    assert accepts(keys.trust, keys.brokers, own.clock.now, own.plan.hosts[0])
    assert len(parse_bundle(keys.trust)) == 2
    assert authorities.BUNDLE in own.secret(AUTHORITY_SECRET)
