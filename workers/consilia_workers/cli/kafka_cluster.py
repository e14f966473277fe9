"""What the commands of `consilia kafka` do on a cluster."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from kafka import KafkaAdminClient

from consilia.kafka.access import Access
from consilia.kafka.acl_difference import Difference, difference, job_alone
from consilia.kafka.acls import AclRule
from consilia.kafka.connection import make_admin
from consilia.kafka.diagnosis import diagnose, require_entry
from consilia.kafka.errors import plain_errors
from consilia.kafka.probe import Probe
from consilia.kafka.rights import Checked, Right
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import Users

_SECONDS = 10.0
"""How long the visits to all brokers together may take."""


def apply_rules(job: str, wanted: Sequence[AclRule], settings: KafkaSettings, *, add: bool, remove: bool) -> Difference:
    """What differed before; as much of it as is asked for is made good. `job` is the job's name on the log.

    Raises:
        ConsiliaError: the cluster cannot be reached, has no access rules, or these are no administrator's settings.
    """
    with _administrator(settings) as admin:
        access = Access(settings, admin)
        found = difference(job, wanted, access.found())
        if add:
            access.add(found.missing)
        if remove:
            access.remove(found.stale)
    return found


def revoke_rules(job: str, settings: KafkaSettings) -> tuple[AclRule, ...]:
    """What was taken away: all rules about nothing but this job. `job` is its name on the log.

    Raises:
        ConsiliaError: as for `apply_rules`.
    """
    with _administrator(settings) as admin:
        access = Access(settings, admin)
        found = job_alone(job, access.found())
        access.remove(found)
    return found


def make_users(names: Iterable[str], settings: KafkaSettings, folder: Path) -> dict[str, str]:
    """The files with the passwords of the users that were not there, by the user's name.

    Raises:
        ConsiliaError: the cluster cannot be reached, these are no administrator's settings, or a file is in the way.
    """
    with _administrator(settings) as admin:
        return {name: str(path) for name, path in Users(settings, admin).create(names, folder)}


def try_rights(settings: KafkaSettings, rights: Iterable[Right]) -> Checked:
    """Visit every broker, then try each right.

    Raises:
        ConsiliaError: a broker cannot be reached, or does not let this party in.
    """
    if error := diagnose(settings, _SECONDS):
        raise error
    with closing(Probe(settings)) as probe:
        return probe.check(rights)


@contextmanager
def _administrator(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    require_entry(settings)
    with plain_errors(settings, doing="connect"):
        admin = make_admin(settings)
    with closing(admin):
        yield admin
