import pytest
from api_documents import document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilia.errors import ManifestError
from consilia.manifest import load, problems
from consilia.manifest.yaml_document import write_document

JOB = """\
apiVersion: consilia.dev/v1alpha1
kind: FederatedJob
metadata: {name: study}
spec:
  task: {entrypoint: "package.module:Task"}
  dataset: patients
  hospitals: {names: [a, b]}
  rounds: {count: 10}
"""


@pytest.fixture
def write(tmp_path):
    """Writes a file of the given text or bytes and gives its path."""

    def write(content):
        path = tmp_path / "job.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def only_problem(write):
    """The one problem of a text."""

    def only_problem(content):
        (problem,) = problems(write(content))
        return problem

    return only_problem


def with_training(line):
    return f"{JOB}  training:\n    {line}\n"


# What is added to a valid job in line 10, at which column it is wrong, by which rule, and the remedy.
TRAINING = (
    ("batchsize: 8", 16, "batchsize is not a field here", "Did you mean batchSize?"),
    ("zzz: 8", 10, "zzz is not a field here", "Remove it; the fields here are localEpochs, localSteps"),
    ("batchSize: -1", 16, "must be at least 0", "Write a number from 0 on."),
    ("batchSize: 1000001", 16, "must be at most 1000000", "Write a number up to 1000000."),
    ('batchSize: "8"', 16, "must be a whole number", "Write 8 without quotes."),
    ("batchSize: 8.5", 16, "must be a whole number", "Write digits only."),
    ("batchSize: true", 16, "must be a whole number", "Write digits only."),
    ("batchSize: 99999999999999999999999999", 16, "must be at most 1000000", "Write a number up to 1000000."),
    ("batchSize:", 15, "batchSize is empty", "Write a value, or remove the line."),
    ("precision: float32", 16, "must be one of Float32, BFloat16, Float16", "Did you mean Float32?"),
    ("precision: [Float32]", 5, "must be one of Float32, BFloat16, Float16", "Write one of Float32"),
    ("proximalMu: 0.1", 17, "must be a decimal number in quotes", 'Write "0.1" in quotes.'),
    ("proximalMu: 1e-3", 17, "must be a decimal number in quotes", 'Write "1e-3" in quotes.'),
    ("proximalMu: 1", 17, "must be a decimal number in quotes", 'Write "1" in quotes.'),
    ("proximalMu: .5", 17, "must be a decimal number in quotes", 'Write ".5" in quotes.'),
    ('proximalMu: ".5"', 17, "must be a decimal number in quotes, such as", "Correct the value."),
    ('proximalMu: "0.10000000000000000000000000000000001"', 17, "must have at most 32 characters", "Shorten it."),
    ('proximalMu: "-1"', 17, "must be above 0", 'Write a positive number in quotes, such as "0.01".'),
    ("optimizer: SGD", 16, "must be an object with fields", "Indent the fields below it, one a line."),
    ("optimizer: {nesterov: 1}", 27, "must be true or false", "Write true or false, without quotes."),
    (
        "{localEpochs: 1, localSteps: 2}",
        34,
        "training takes localEpochs or localSteps, not both",
        "Remove one of them.",
    ),
)


@pytest.mark.parametrize(("line", "column", "rule", "remedy"), TRAINING)
def test_a_wrong_field_is_named_with_its_place_rule_and_remedy(only_problem, line, column, rule, remedy):
    problem = only_problem(with_training(line))
    assert (problem.line, problem.column) == (10, column)
    assert problem.path.startswith("spec.training")
    assert problem.rule.startswith(rule)
    assert problem.remedy.startswith(remedy)


# A whole text, the line of the one problem in it, its path, how the rule begins, how the remedy begins.
TEXTS = (
    ("", 1, "", "the file is empty", "Write an object"),
    ("---\n# nothing\n", 1, "", "the file is empty", "Write an object"),
    ("just words", 1, "", "a document must be an object", "Begin with apiVersion"),
    ("- a list", 1, "", "a document must be an object", "Begin with apiVersion"),
    (
        JOB.replace("FederatedJob", "FederatdJob"),
        2,
        "kind",
        "kind must be FederatedJob, ",
        "Did you mean FederatedJob?",
    ),
    (JOB.replace("FederatedJob", "Pod"), 2, "kind", "kind must be FederatedJob, ", "Write one of FederatedJob"),
    (JOB.replace("kind: FederatedJob\n", ""), 1, "kind", "kind is required", "Write one of"),
    (JOB.replace("v1alpha1", "v1"), 1, "apiVersion", "apiVersion must be", "Write apiVersion: consilia.dev/v1alpha1."),
    (JOB.replace("study", "My Study"), 3, "metadata.name", "must be lower-case letters", "Correct the value."),
    (
        JOB.replace("{name: study}", "{name: study, lables: {}}"),
        3,
        "metadata.lables",
        "lables is not",
        "Did you mean labels?",
    ),
    (JOB.replace("dataset: patients", "dataset: yes"), 6, "spec.dataset", "must be text", 'Write "yes" in quotes.'),
    (JOB.replace("  dataset: patients\n", ""), 4, "spec.dataset", "dataset is required", "Add it. A logical name"),
    (JOB.replace("[a, b]", "[a, a]"), 7, "spec.hospitals.names", "must not name the same value twice", "Remove"),
    (JOB.replace("[a, b]", "[a, B]"), 7, "spec.hospitals.names[1]", "must be lower-case letters", "Correct the value."),
    (JOB.replace("[a, b]", "a"), 7, "spec.hospitals.names", "must be a list", "Write [first, second]"),
    (JOB.replace("[a, b]", "[]"), 7, "spec.hospitals.names", "must have at least 1 entries", "Add some."),
    (JOB.replace("[a, b]", "[a]"), 7, "spec.hospitals.minReady", "minReady must not exceed", "Lower minReady"),
    (JOB.replace("count", "\tcount"), 8, "", "YAML allows no tab here", "Indent with spaces."),
    (JOB.replace("  dataset", "\tdataset"), 6, "", "YAML allows no tab here", "Indent with spaces."),
    (JOB.replace("[a, b]", "[a, b"), 7, "", "not YAML", "Look at this line"),
    (JOB + "  dataset: others\n", 9, "spec.dataset", "the field dataset is given twice, first in line 6", "Remove one"),
    (JOB + "  dataset: *x\n", 9, "", "not YAML: found undefined alias 'x'", "Look at this line"),
    (JOB.replace("patients", "!!python/object/apply:os.system [ls]"), 6, "", "the tag !!python", "Remove it."),
    (JOB.replace("patients", "!secret patients"), 6, "", "the tag !secret is not read", "Remove it."),
    (JOB.replace("patients", "!!binary aGk="), 6, "", "the tag !!binary is not read", "Remove it."),
    (JOB.replace("count: 10", "<<: {count: 10}"), 8, "", "merge keys (<<) are not read", "Write the fields out."),
    (JOB.replace("count: 10", "10: count"), 8, "", "the field name 10 would be read", 'Write "10" in quotes.'),
    (JOB.replace("count: 10", "[count]: 10"), 8, "", "a field's name must be text", "Write name: value."),
    (JOB.replace("count: 10", "count: 09"), 8, "spec.rounds.count", "must be a whole number", "Write digits only."),
    (JOB.replace("count: 10", "count: !!int ten"), 8, "", "ten is no whole number", "Write decimal digits."),
    (JOB + "  x: &x [*x]\n", 9, "", "an alias inside what it stands for", "Write the values out."),
    (JOB + "---\n" + JOB, 12, "metadata.name", "the FederatedJob study is there already, in line 3", "Rename"),
    (JOB + "\x00", 1, "", "not YAML", "Save the file as plain UTF-8 text."),
    (JOB.encode("utf-16"), 0, "", "not UTF-8 text", "Save the file as UTF-8."),
    (b" " * 300_000, 0, "", "larger than 256 KiB", "Is this a job file?"),
    ("[" * 1000, 1, "", "not YAML: more than 64 levels deep", "Look at this line"),
)


@pytest.mark.parametrize(("text", "line", "path", "rule", "remedy"), TEXTS)
def test_a_wrong_file_is_refused_with_place_rule_and_remedy(only_problem, text, line, path, rule, remedy):
    problem = only_problem(text)
    assert (problem.line, problem.path) == (line, path)
    assert problem.rule.startswith(rule)
    assert problem.remedy.startswith(remedy)


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory(only_problem):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert only_problem("\n".join(lines)).rule == "more than 10000 values"


def test_a_harmless_alias_is_read(write):
    text = JOB.replace("package.module:Task", "package.module:Task").replace(
        "count: 10", "count: &n 10, maxExtensions: *n"
    )
    assert load(write(text)).job.spec.rounds.max_extensions == 10


def test_all_problems_are_listed_in_the_order_of_their_lines(write):
    text = JOB.replace("study", "Study").replace("count: 10", "count: 0").replace("patients", "3") + "  zzz: 1\n"
    found = problems(write(text))
    assert [problem.line for problem in found] == [3, 6, 8, 9]
    assert {problem.file for problem in found} == {str(write(text))}


def test_loading_names_every_problem_in_one_error(write):
    with pytest.raises(ManifestError, match=r"job\.yaml has 2 problems:") as caught:
        load(write(JOB.replace("study", "Study").replace("count: 10", "count: 0")))
    assert "3:18: metadata.name: Study: must be lower-case letters" in str(caught.value)
    assert "8:19: spec.rounds.count: 0: must be at least 1. Write a number from 1 on." in str(caught.value)


def test_a_field_that_does_not_work_yet_is_refused_where_it_stands(only_problem):
    problem = only_problem(f"{JOB}  transport:\n    managed: {{}}\n")
    assert (problem.line, problem.column, problem.path) == (10, 5, "spec.transport.managed")
    assert problem.rule.startswith("not in a local run: spec.transport.managed: Kafka that is run for the job needs")
    assert "--kafka embedded" in problem.remedy


def test_parameters_take_any_json_but_nothing_else(only_problem, write):
    text = JOB.replace('Task"', 'Task", parameters: {width: 8, rate: 0.1, day: 2026-01-31, deep: {a: [1, x]}}')
    assert load(write(text)).job.spec.task.parameters == {
        "width": 8,
        "rate": 0.1,
        "day": "2026-01-31",
        "deep": {"a": [1, "x"]},
    }
    for bad in (".nan", "-.inf", "null", "[null]", "9007199254740992", '"\\ud800"', '{"\\ud800": 1}'):
        problem = only_problem(text.replace("width: 8", f"width: {bad}"))
        assert (problem.line, problem.path) == (5, "spec.task.parameters")


# As kubectl reads it (YAML to JSON), where PyYAML would read something else.
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-3", 0.001),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("on", True),
        ('"on"', "on"),
        ("1_000", 1000),
        ("=", "="),
        ("1.5.2", "1.5.2"),
    ],
)
def test_scalars_mean_what_they_mean_to_kubectl(write, written, read):
    text = JOB.replace('Task"', f'Task", parameters: {{x: {written}}}')
    value = load(write(text)).job.spec.task.parameters["x"]
    assert (value, type(value)) == (read, type(read))


def test_a_job_file_brings_its_datasets_and_hospitals(write):
    others = [document("Dataset"), document("Dataset", {".metadata.namespace": "b"}), document("Hospital")]
    manifest = load(write("---\n".join([JOB, *map(write_document, others)])))
    assert [hospital.metadata.name for hospital in manifest.hospitals] == ["a"]
    assert manifest.dataset_of("b") == manifest.datasets[1]
    assert manifest.dataset_of("c") is None


@pytest.mark.parametrize("jobs", [0, 2])
def test_a_job_file_holds_exactly_one_job(write, jobs):
    texts = [write_document(document("FederatedJob", {".metadata.name": f"study-{n}"})) for n in range(jobs)]
    with pytest.raises(ManifestError, match=f"exactly one FederatedJob, this one holds {jobs}"):
        load(write("---\n".join([*texts, write_document(document("Hospital"))])))


def test_a_file_that_is_not_there_or_a_folder_is_a_problem_like_any_other(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        (problem,) = problems(path)
        assert problem.rule.startswith("cannot be read")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(JOB)), noise=st.text(max_size=8) | st.sampled_from(list("{}[]:#&*!|>'\"%@`\t")))
def test_no_text_whatever_brings_the_reader_down(write, cut, noise):
    for text in (JOB[:cut] + noise + JOB[cut:], JOB[:cut] + noise, noise):
        for problem in problems(write(text.encode("utf-8", "surrogatepass"))):
            assert problem.rule
            assert problem.remedy


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(write):
    text = JOB.replace("\n", "\r\n")
    assert problems(write(b"\xef\xbb\xbf" + text.encode())) == []
