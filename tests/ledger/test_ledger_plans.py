"""What a job would ask of a budget, answered by the ledger for whoever has no accountant of his own."""

import pytest
from api_documents import document
from ledgers import HOSPITAL

from consilia.api import HospitalTask
from consilia.errors import ManifestError
from consilia.ledger.ledger import Ledger
from consilia.ledger.remote import RemoteLedger
from consilia.privacy.plan import make_plan
from consilia.wire.identity import Identity
from consilia_workers.ledger_service import LedgerServer

KEY = Identity.generate(HOSPITAL)
PRIVACIES = {
    "an ε": {"privacy": {"epsilon": "2"}},
    "noise": {"privacy": {"noiseMultiplier": "1.1"}},
    "another mechanism": {"privacy": {"epsilon": "2", "mechanism": "Laplace", "delta": "1e-6"}},
    "a sampling rate": {"privacy": {"epsilon": "2", "sampleRate": "0.01"}},
    "charged evaluations": {
        "privacy": {"epsilon": "2", "evaluation": "Charged"},
        "evaluation": {"everyRounds": 3, "metrics": ["accuracy"]},
    },
    "steps": {"privacy": {"epsilon": "2"}, "training": {"localSteps": 20, "batchSize": 64}},
    "a pod of its own": {
        "privacy": {"epsilon": "2"},
        "podTemplate": {"spec": {"nodeSelector": {"x": "y"}}},
    },
}


def offered(changes):
    return HospitalTask.model_validate(document("HospitalTask", changes)).spec


@pytest.fixture
def ledgers(tmp_path):
    """The same ledger in its folder and behind an address."""
    local = Ledger(tmp_path / "ledger", KEY)
    server = LedgerServer(0, KEY, local)
    server.start()
    yield local, RemoteLedger(f"http://127.0.0.1:{server.port}", KEY)
    server.close()


@pytest.mark.parametrize("changes", PRIVACIES.values(), ids=PRIVACIES.keys())
def test_a_plan_is_the_same_wherever_it_is_made(ledgers, changes):
    spec = offered(changes)
    for ledger in ledgers:
        assert ledger.plan(spec, 1000) == make_plan(spec, 1000)


def test_a_promise_that_no_noise_keeps_is_refused_in_the_same_words(ledgers):
    spec = offered({"privacy": {"epsilon": "0.001", "evaluation": "Charged", "evaluationNoise": "0.1"}})
    told = []
    for ledger in ledgers:
        with pytest.raises(ManifestError) as refused:
            ledger.plan(spec, 1000)
        told.append(str(refused.value))
    assert told[0] == told[1]
