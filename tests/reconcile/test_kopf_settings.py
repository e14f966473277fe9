from consilia_operator import handlers


def test_an_operator_that_has_stopped_does_not_have_its_process_killed_ten_minutes_later():
    """Kopf's "ultimate termination" is not called off by a stop that went well; the kubelet kills who does not stop."""
    assert handlers.settings().process.ultimate_exiting_timeout is None
