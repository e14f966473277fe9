"""A hospital that follows its hub over a log: offers become its own objects, and it tells what came of them."""

import pytest
from hub_by_hand import hub_and_riverside

PARAMETERS = {"task": {"entrypoint": "package.module:Task"}, "dataset": "patients"}


@pytest.fixture
def hub(tmp_path):
    with hub_and_riverside(tmp_path) as found:
        yield found


def test_an_offer_becomes_a_task_that_the_hospital_decides_on(hub):
    hub.post(hub.letter(PARAMETERS))
    assert hub.says("Approved") == ("True", "ApprovedByRule")
    assert hub.trainer()
    assert hub.told()["Approved"] == ("True", "ApprovedByRule")
    assert hub.report().heard == hub.serial


def test_nothing_is_news_twice(hub):
    hub.post(hub.letter(PARAMETERS))
    before = hub.task()
    hub.turn().restart_operator().turn()
    assert hub.task()["metadata"]["uid"] == before["metadata"]["uid"]
    assert hub.report().refused == {}


def test_a_suspended_offer_lets_go_of_its_trainer_and_a_resumed_one_gets_it_back(hub):
    hub.post(hub.letter(PARAMETERS))
    hub.post(hub.letter(PARAMETERS, suspend=True))
    assert not hub.trainer()
    assert hub.told()["Training"] == ("False", "Suspended")
    hub.post(hub.letter(PARAMETERS))
    assert hub.trainer()


def test_a_recalled_offer_is_gone_and_stays_gone(hub):
    hub.post(hub.letter(PARAMETERS))
    hub.post(hub.recall())
    assert hub.task() is None
    assert hub.report().tasks == ()
    hub.restart_operator().turn()
    assert hub.task() is None
