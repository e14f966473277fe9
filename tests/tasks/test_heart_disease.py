import pytest

from consilia.errors import DataError
from consilia_workers.task import DataSource, Split
from consilia_workers.tasks.heart_disease import HeartDisease, flamby_split, read_patients

FLAMBY = {  # patients and diseased patients, (train, test)
    "cleveland": ((199, 91), (104, 48)),
    "hungarian": ((172, 65), (89, 33)),
    "switzerland": ((30, 30), (16, 15)),
    "va": ((85, 66), (45, 35)),
}
GOOD_LINE = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0\n"


def tensors(folder, hospital, split, **parameters):
    source = DataSource(hospital=hospital, path=folder, parameters=parameters)
    return HeartDisease({}).data(source, split).tensors


@pytest.mark.parametrize("hospital", FLAMBY)
def test_the_split_has_flambys_patients_and_diagnoses(real_data, hospital):
    for split, (patients, diseased) in zip((Split.TRAIN, Split.TEST), FLAMBY[hospital], strict=True):
        features, labels = tensors(real_data("heart_disease"), hospital, split)
        assert features.shape == (patients, 13)
        assert labels.sum() == diseased


@pytest.mark.parametrize("hospital", FLAMBY)
def test_every_patient_is_in_one_part_of_the_split(real_data, hospital):
    labels = read_patients(real_data("heart_disease") / f"processed.{hospital}.data")[:, -1] > 0
    parts = flamby_split(labels)
    assert sorted([*parts[Split.TRAIN], *parts[Split.TEST]]) == list(range(len(labels)))


def test_the_features_of_the_first_cleveland_patient_are_scaled_by_the_constants_in_the_file(real_data):
    patient = read_patients(real_data("heart_disease") / "processed.cleveland.data")[0]
    assert patient.tolist() == [63, 1, 1, 145, 233, 1, 2, 150, 0, 2.3, 0]
    features, _ = tensors(real_data("heart_disease"), "cleveland", Split.TRAIN)
    expected = [0.8, 0.75, 0.33, 0.4, 2.3, 1, 1, 0, 0, 0, 0, 0, 1]  # (63 - 55) / 10, (145 - 130) / 20, ...
    assert any(row.tolist() == pytest.approx(expected, abs=1e-6) for row in features)


def test_a_hospital_of_another_name_gets_the_site_its_dataset_says(real_data):
    named, by_parameter = (
        tensors(real_data("heart_disease"), hospital, Split.TEST, **parameters)
        for hospital, parameters in (("va", {}), ("st-elsewhere", {"site": "va"}))
    )
    assert named[0].equal(by_parameter[0])


@pytest.mark.parametrize(
    ("hospital", "content", "complaint"),
    [
        ("boston", GOOD_LINE, r"no site 'boston'\. .*cleveland, hungarian, switzerland, va"),
        ("va", None, r"processed\.va\.data is missing\. .*consilia data get heart-disease"),
        ("va", "", r"is damaged: it holds 0 complete patients"),
        ("va", GOOD_LINE * 2 + "1,2,3\n", r"is damaged: line 3 has 3 columns instead of 14\. .*get heart-disease"),
        ("va", GOOD_LINE + GOOD_LINE.replace("145.0", "high"), r"is damaged: line 2: .*'high'"),
        ("va", "\x00\xff\xfe", r"is damaged: line 1 has 1 columns"),
    ],
)
def test_what_is_wrong_with_the_data_is_said_with_the_file_and_the_remedy(tmp_path, hospital, content, complaint):
    if content is not None:
        (tmp_path / "processed.va.data").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=complaint):
        tensors(tmp_path, hospital, Split.TRAIN)


def test_no_folder_at_all_is_said():
    with pytest.raises(DataError, match="no data folder is given"):
        tensors(None, "va", Split.TRAIN)
