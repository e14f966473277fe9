"""`consilia ledger`: what a privacy officer is shown without the hospital's key; accepting a loss with it."""

import csv
import io
import json
import typing
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_commands import consilia, file_of, key_of, lines_of, spent_ledger, write_public_key
from ledgers import HOSPITAL, account_of, budget, content, open_ledger, plan, reserve

from consilia.errors import BudgetError, IdentityError, LedgerError, RunError
from consilia.ledger.chain import Head
from consilia.ledger.entries import AccountsJoined, AnyEntry, Committed
from consilia.ledger.journal import Journal, read_entries
from consilia.ledger.reading import head_from, head_text
from consilia.wire.identity import Identity
from consilia_workers.cli.ledger_export import COLUMNS, LEFT_OUT
from consilia_workers.cli.ledger_words import down, up


@pytest.fixture
def ledger(tmp_path):
    return spent_ledger(tmp_path / "ledger")[0]


@pytest.fixture
def account(ledger):
    return ledger.find("heart")


# What is shown


def test_the_accounts_are_the_ledgers_own_with_their_jobs(ledger, account):
    reserve(ledger, account, "risk", 3)
    told = ledger.state(account, "risk")
    (shown,) = json.loads(consilia("show", ledger.folder, "--json").output)["accounts"]
    (job,) = shown.pop("jobs")

    assert shown == {
        "account": account,
        "datasets": ["heart"],
        "unit": "Record",
        "epsilon": 3.0,
        "delta": 1e-5,
        "epsilonPerJob": None,
        "approvedBy": "",
        "spent": up(told.spent),
        "reserved": up(told.reserved),
        "available": down(told.available),
        "state": "Ready",
    }
    assert (job["job"], job["rounds"], job["attempts"], job["spent"]) == ("risk", 3, 4, up(told.spent_by_job))
    assert job["promisedUntil"] > read_entries(file_of(ledger))[0][-1].at


@given(st.floats(0, 1e6))
def test_no_figure_promises_too_much(value):
    assert down(value) <= value <= up(value)
    assert up(value) - down(value) < 0.00101


def test_people_see_the_same_figures_as_programs(ledger):
    (found,) = json.loads(consilia("show", ledger.folder, "--json").output)["accounts"]
    accounts, jobs = consilia("show", ledger.folder).output.split("jobs on heart:\n")

    figures = [f"{found[name]:.3f}" for name in ("spent", "reserved", "available")]
    assert accounts.splitlines()[-1].split() == ["heart", "Record", "3", "1e-05", "-", *figures, "Ready"]
    assert jobs.splitlines()[-1].split()[0::2] == ["risk", "3", f"{found['spent']:.3f}"]


def exhaust(ledger, account):
    with pytest.raises(BudgetError):
        reserve(ledger, account, "risk", 4, plan(1000).training.times(1000))


def lose(ledger, account):
    ledger.accept_gap([ledger.head()], "Board", "lost")


def approve(ledger, account):
    lose(ledger, account)
    ledger.set_budget(account, budget("2", approved_by="Board", after_gap=ledger.head().entries))


@pytest.mark.parametrize(
    ("happened", "state", "available"),
    [(lambda *_: None, "Ready", True), (exhaust, "Exhausted", True), (lose, "Gap", False), (approve, "Ready", True)],
)
def test_an_account_is_ready_exhausted_or_behind_a_gap(ledger, account, happened, state, available):
    happened(ledger, account)
    (shown,) = json.loads(consilia("show", ledger.folder, "--json").output)["accounts"]
    assert (shown["state"], shown["available"] > 0) == (state, available)


def test_a_promise_whose_lease_has_ended_holds_nothing(ledger, account):
    ledger.admit(account, "late", plan(4), lease=timedelta(seconds=-5))
    (shown,) = json.loads(consilia("show", ledger.folder, "--json").output)["accounts"]
    assert {job["job"]: job["promisedUntil"] is None for job in shown["jobs"]} == {"risk": False, "late": True}
    assert shown["reserved"] == up(ledger.state(account).reserved)


def test_data_without_a_budget_has_no_limit(tmp_path):
    ledger = open_ledger(tmp_path / "fresh")
    reserve(ledger, ledger.register("heart", content(), "Patient"))
    shown = consilia("show", ledger.folder).output
    assert "no limit 1e-05 - 0.936 0.000 no limit Ready" in " ".join(shown.split())


def test_one_data_set_is_shown_by_any_of_its_names(ledger):
    account_of(ledger, dataset="stroke")
    ledger.register("heart-2", content("heart"), "Record")
    shown = json.loads(consilia("show", ledger.folder, "--dataset", "heart-2", "--json").output)["accounts"]

    assert [each["datasets"] for each in shown] == [["heart", "heart-2"]]
    with pytest.raises(LedgerError, match=r"no data set lung\. Name one of: heart, heart-2, stroke\."):
        consilia("show", ledger.folder, "--dataset", "lung")


def test_reading_needs_the_file_alone_and_changes_nothing(ledger, tmp_path):
    place = tmp_path / "elsewhere"
    place.mkdir()
    torn = file_of(ledger).read_bytes() + lines_of(ledger)[-1][:50]
    (place / "ledger.jsonl").write_bytes(torn)

    for path in (place, place / "ledger.jsonl"):
        for words in (["show"], ["verify"], ["export"]):
            assert consilia(words[0], path).exit_code == 0
    assert [each.name for each in place.iterdir()] == ["ledger.jsonl"]
    assert (place / "ledger.jsonl").read_bytes() == torn


def test_names_that_others_chose_are_no_commands_to_a_terminal(ledger, account):
    reserve(ledger, account, "\x1b[31mred [bold]")
    assert "�[31mred [bold]" in consilia("show", ledger.folder).output


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "there is no ledger"),
        (lambda path: path.mkdir(), "holds no ledger.jsonl"),
        (lambda path: path.write_bytes(b""), "has no entry, not even its first one: it was cut"),
        (lambda path: path.write_bytes(b'{"entry":'), "has no entry"),
    ],
)
def test_a_ledger_that_is_not_there_is_an_error(tmp_path, make, told):
    make(tmp_path / "place")
    with pytest.raises(LedgerError, match=told):
        consilia("show", tmp_path / "place")


# Verifying


def test_a_whole_ledger_is_verified_with_its_key_and_every_head_there_was(ledger):
    _, chain, _ = read_entries(file_of(ledger))
    heads = [f"--head={number}:{digest}" for number, digest in enumerate(chain.digests, 1)]
    result = consilia("verify", ledger.folder, "--key", write_public_key(ledger), *heads, "--json")
    found = json.loads(result.output)

    assert (result.exit_code, found["verified"], found["headsCompared"]) == (0, True, len(heads))
    assert (found["entries"], found["head"]) == (len(heads), head_text(ledger.head()))
    assert found["first"] <= found["last"]


def test_what_was_not_compared_and_what_is_torn_is_said(ledger):
    file_of(ledger).write_bytes(file_of(ledger).read_bytes() + b'{"entry"')
    printed = consilia("verify", ledger.folder).output

    assert "give --key to compare it" in printed
    assert "give --head to miss no entry" in printed
    assert "torn tail   8 bytes of an entry that is being written or was cut short; it does not count" in printed


CHANGES = {
    "a figure was changed": (lambda all_: [line.replace(b'"2"', b'"9"') for line in all_], "entry 5 .* is not signed"),
    "an entry was removed": (lambda all_: all_[:5] + all_[6:], "entry 6 .* does not continue"),
    "an entry is rubbish": (lambda all_: [*all_[:2], b"rubbish\n", *all_[3:]], "entry 3 .* cannot be read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_ledger_is_refused_with_the_entry_named(ledger, change):
    make, told = CHANGES[change]
    file_of(ledger).write_bytes(b"".join(make(lines_of(ledger))))

    with pytest.raises(LedgerError, match=told):
        consilia("verify", ledger.folder)
    for_programs = consilia("verify", ledger.folder, "--json")
    assert for_programs.exit_code == 1
    assert not json.loads(for_programs.output)["verified"]


@pytest.mark.parametrize(
    "senseless",
    [
        Committed(account="0" * 16, job="risk", reservation=99, output="sha256:" + "0" * 64),
        AccountsJoined(account="0" * 16, joined="1" * 16),
    ],
)
def test_an_entry_that_is_signed_and_makes_no_sense_is_named(ledger, account, senseless):
    journal = Journal(ledger.folder, Identity.load(HOSPITAL, key_of(ledger)), lambda _entry: None)
    with journal.held() as chain:
        number = chain.head.entries + 1
        journal.append(senseless.model_copy(update={"account": account}))

    with pytest.raises(LedgerError, match=f"entry {number} of the ledger contradicts those before it"):
        consilia("verify", ledger.folder)


def test_a_rolled_back_ledger_lacks_a_head_that_others_have_seen(ledger):
    seen = ledger.head()
    file_of(ledger).write_bytes(b"".join(lines_of(ledger)[:-2]))

    assert consilia("verify", ledger.folder).exit_code == 0  # in itself it is without fault
    with pytest.raises(LedgerError, match=rf"others have seen entry {seen.entries} .* here are {seen.entries - 2}"):
        consilia("verify", ledger.folder, "--head", head_text(seen))


def test_a_ledger_of_another_key_is_told_by_the_hospitals_own(ledger, tmp_path):
    with pytest.raises(LedgerError, match="entry 1 of the ledger names another key"):
        consilia("verify", ledger.folder, "--key", write_public_key(ledger, Identity.generate(HOSPITAL)))
    with pytest.raises(IdentityError, match="holds no Ed25519 public key"):
        consilia("verify", ledger.folder, "--key", key_of(ledger))
    with pytest.raises(IdentityError, match="cannot be read: No such file"):
        consilia("verify", ledger.folder, "--key", tmp_path / "nowhere.pem")


@pytest.mark.parametrize("head", ["7", "7:4f9c", "sha256:" + "0" * 64, "-1:sha256:" + "0" * 64])
def test_a_head_is_a_number_and_a_digest(ledger, head):
    assert consilia("verify", ledger.folder, f"--head={head}").exit_code == 2


def test_a_head_is_read_as_it_was_written(ledger):
    assert head_from(f" {head_text(ledger.head())}\n") == ledger.head()


# Exporting


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_entry_is_a_row_with_what_was_spent_after_each_charge(ledger, account):
    ledger.give_back(account, "risk")
    entries, chain, _ = read_entries(file_of(ledger))
    rows = table(consilia("export", ledger.folder).output)
    charges = [row for row in rows if row["type"] == "Reserved"]

    assert [(row["number"], row["type"], row["at"]) for row in rows] == [(str(e.number), e.type, e.at) for e in entries]
    assert [row["digest"] for row in rows] == chain.digests
    assert [row["number"] for row in rows if row["spentAfter"]] == [row["number"] for row in charges]
    assert float(charges[-1]["spentAfter"]) == up(ledger.state(account).spent)
    assert [(row["round"], row["noiseMultiplier"], row["steps"]) for row in charges] == [
        (str(number), "2", "10") for number in (1, 2, 3)
    ]


def test_the_columns_are_the_same_for_every_ledger_and_format(ledger):
    other = json.loads(consilia("export", ledger.folder, "--format", "json").output)
    assert all(tuple(row) == COLUMNS for row in other)
    assert consilia("export", ledger.folder).output.splitlines()[0] == ",".join(COLUMNS)
    assert [row["number"] for row in other] == list(range(1, len(other) + 1))


@pytest.mark.parametrize("entry", typing.get_args(AnyEntry), ids=lambda entry: entry.__name__)
def test_every_field_of_every_entry_has_a_column(entry):
    fields = {field.alias or name for name, field in entry.model_fields.items()} - LEFT_OUT
    inner = {"kind", "noiseMultiplier", "sampleRate", "steps"}
    assert (fields - {"mechanism"}) | (inner if "mechanism" in fields else set()) <= set(COLUMNS)


def test_a_name_that_others_chose_is_no_formula(ledger, account):
    reserve(ledger, account, "=HYPERLINK(1)")
    assert table(consilia("export", ledger.folder).output)[-1]["job"] == "'=HYPERLINK(1)"
    assert json.loads(consilia("export", ledger.folder, "--format", "json").output)[-1]["job"] == "=HYPERLINK(1)"


def test_an_export_goes_to_a_new_file_only(ledger, tmp_path):
    consilia("export", ledger.folder, "--output", tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == consilia("export", ledger.folder).output

    before = lines_of(ledger)
    with pytest.raises(RunError, match="exists already"):
        consilia("export", ledger.folder, "--output", file_of(ledger))
    assert lines_of(ledger) == before
    with pytest.raises(RunError, match="cannot be written: No such file"):
        consilia("export", ledger.folder, "--output", tmp_path / "nowhere" / "table.csv")


# Accepting a gap


@pytest.fixture
def restored(ledger):
    """The same ledger from an older copy, and the head that others have seen."""
    seen = ledger.head()
    file_of(ledger).write_bytes(b"".join(lines_of(ledger)[:-3]))
    return open_ledger(ledger.folder), seen


def accept(ledger, seen, *more, key=None, **how):
    words = ("--by", "Dr. Lee", "--reason", "Monday's backup was restored")
    return consilia(
        "accept-gap", ledger.folder, "--key", key or key_of(ledger), "--head", head_text(seen), *words, *more, **how
    )


def test_a_gap_is_accepted_only_by_somebody_who_was_told_and_said_yes(restored):
    ledger, seen = restored
    before = lines_of(ledger)
    told = accept(ledger, seen, says="n\n")

    assert told.exit_code == 1
    assert f"{head_text(seen)} was seen by others, and is not part of it." in told.output
    assert "counts as spent: heart." in told.output
    assert lines_of(ledger) == before
    assert accept(ledger, seen, says="y\n").exit_code == 0
    assert accept(ledger, seen, "--yes").exit_code == 0
    last = read_entries(file_of(ledger))[0][-1]
    assert (last.type, last.by, last.entries, last.head) == ("GapAccepted", "Dr. Lee", seen.entries, seen.digest)


def test_an_accepted_gap_is_part_of_the_record_and_no_fault_any_more(restored):
    ledger, seen = restored
    printed = accept(ledger, seen, "--yes").output
    verified = consilia("verify", ledger.folder, "--head", head_text(seen))

    number = ledger.head().entries
    assert printed.endswith(
        f"Accepted: an approval that knows of it says afterGap: {number}.\n"
        f"The ledger ends at {head_text(ledger.head())} now: keep that.\n"
    )
    assert verified.exit_code == 0
    assert "by Dr. Lee: Monday's backup was restored" in verified.output


def test_several_heads_are_accepted_at_once_and_no_others(restored):
    ledger, seen = restored
    other, third = Head(seen.entries, "sha256:" + "1" * 64), Head(seen.entries - 1, "sha256:" + "2" * 64)
    told = accept(ledger, seen, "--head", head_text(other), "--yes").output

    assert all(f"{head_text(head)} was seen by others, and is not part of it." in told for head in (seen, other))
    assert consilia("verify", ledger.folder, "--head", head_text(seen), "--head", head_text(other)).exit_code == 0
    with pytest.raises(LedgerError, match="rolled back or replaced"):
        consilia("verify", ledger.folder, "--head", head_text(third))


def test_where_nothing_seems_lost_that_is_said(ledger):
    told = accept(ledger, ledger.head(), says="n\n").output
    assert "is part of it: as far as that tells, nothing is lost." in told


def test_only_the_hospitals_key_accepts_a_gap(restored, tmp_path):
    ledger, seen = restored
    Identity.generate(HOSPITAL).save(tmp_path / "other.pem")
    before = lines_of(ledger)

    with pytest.raises(LedgerError, match="is signed by another key"):
        accept(ledger, seen, "--yes", key=tmp_path / "other.pem")
    with pytest.raises(IdentityError, match="cannot read the key of riverside"):
        accept(ledger, seen, "--yes", key=tmp_path / "nowhere.pem")
    assert lines_of(ledger) == before


@pytest.mark.parametrize("words", [("--by", " "), ("--reason", "x" * 254)])
def test_who_accepts_and_why_is_said(restored, words):
    ledger, seen = restored
    before = lines_of(ledger)
    assert accept(ledger, seen, *words, "--yes").exit_code == 2
    assert lines_of(ledger) == before
