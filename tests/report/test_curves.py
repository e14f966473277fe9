import pytest

from consilia_workers.report.curves import curve, frame


def auc(**values):
    return {hospital: {"auc": value} for hospital, value in values.items()}


def a_run(make, *rounds, final):
    results = [make.round(number, hospitals) for number, hospitals in enumerate(rounds, start=1)]
    return make.seed(1, rounds=results, federated=final)


def test_a_round_reports_the_model_it_started_from_and_the_last_point_is_the_final_model(make):
    seed = a_run(make, auc(a=0.5, b=0.7), auc(a=0.6, b=0.8), final=auc(a=0.7, b=0.9))
    course = curve(make.report([seed], ["a", "b"]), "auc", ["a", "b"])
    assert {position: spread.mean for position, spread in course.mean.items()} == pytest.approx(
        {0: 0.6, 1: 0.7, 2: 0.8}
    )
    assert course.hospitals["b"] == {0: 0.7, 1: 0.8, 2: 0.9}
    assert not course.filled


def test_a_missed_round_does_not_make_the_mean_jump(make):
    seed = a_run(make, auc(a=0.4, b=0.8), auc(a=0.5), final=auc(a=0.6, b=0.8))
    course = curve(make.report([seed], ["a", "b"]), "auc", ["a", "b"])
    assert course.mean[1].mean == pytest.approx(0.65)
    assert course.hospitals["b"] == {0: 0.8, 2: 0.8}
    assert course.filled


def test_rounds_without_an_evaluation_leave_no_point(make):
    seed = a_run(make, auc(a=0.5), {}, {}, final=auc(a=0.9))
    assert list(curve(make.report([seed], ["a"]), "auc", ["a"]).mean) == [0, 3]


def test_only_the_compared_hospitals_make_the_mean(make):
    seed = a_run(make, auc(a=0.5, b=0.9), final=auc(a=0.6))
    course = curve(make.report([seed], ["a", "b"]), "auc", ["a"])
    assert [spread.mean for spread in course.mean.values()] == [0.5, 0.6]


def test_the_band_is_the_deviation_between_seeds(make):
    seeds = [a_run(make, auc(a=start), final=auc(a=0.9)) for start in (0.4, 0.6)]
    course = curve(make.report(seeds, ["a"]), "auc", ["a"])
    assert course.mean[0].deviation == pytest.approx(0.1414213562)
    assert course.mean[1].deviation == 0
    assert course.hospitals["a"][0] == pytest.approx(0.5)


def test_a_failed_run_shows_the_rounds_that_it_had(make):
    course = curve(make.report([make.failed_seed(1, rounds=3)]), "auc", [])
    assert list(course.mean) == [0, 1, 2]


def test_a_run_without_rounds_has_an_empty_curve(make):
    assert not curve(make.report([make.failed_seed(1, rounds=0)]), "auc", []).mean


def test_the_frame_leaves_out_a_far_off_beginning_and_nothing_else(make):
    rounds = [auc(a=0.1), *(auc(a=0.9 + 0.001 * number) for number in range(40))]
    course = curve(make.report([a_run(make, *rounds, final=auc(a=0.95))], ["a"]), "auc", ["a"])
    low, high = frame(course, [0.85, 0.96])
    assert 0.84 < low < 0.85
    assert 0.96 < high < 0.97
    assert all(low < value < high for position, value in course.hospitals["a"].items() if position >= 3)


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5), (0.0, 0.0)])
def test_a_frame_around_a_flat_or_short_curve_has_a_height(make, values):
    *rounds, final = (auc(a=value) for value in values)
    seed = a_run(make, *rounds, final=final) if rounds else a_run(make, final, final={})
    low, high = frame(curve(make.report([seed], ["a"]), "auc", ["a"]), [])
    assert low < values[0] < high
