import pytest
from wrong_jobs import WRONG_JOBS

from consilia.manifest.checking import check_text
from consilia.manifest.yaml_document import write_document


@pytest.mark.parametrize("job", WRONG_JOBS, ids=lambda job: job.name)
def test_what_the_api_server_refuses_is_found_before_it_is_applied(job):
    problems = check_text(write_document(job.document), "Cluster").problems
    assert any(not problem.rule.startswith("not supported yet") for problem in problems)
    assert all(problem.rule and problem.remedy for problem in problems)


def test_the_table_is_long_and_each_job_is_wrong_in_its_own_way():
    assert len(WRONG_JOBS) >= 30
    assert len({job.name for job in WRONG_JOBS}) == len(WRONG_JOBS)
