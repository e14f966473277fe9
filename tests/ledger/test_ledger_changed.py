"""Whatever is done to a ledger's file but appending to it is noticed."""

import json
import shutil

import pytest
from ledgers import HOSPITAL, ROUND, account_of, budget, content, open_ledger, plan, reserve

from consilia.errors import BudgetError, LedgerError
from consilia.ledger.accounts import Accounts
from consilia.ledger.chain import Head
from consilia.ledger.journal import read_entries
from consilia.privacy import filter as filter_rule
from consilia.wire.identity import LEDGER_ENTRY, Identity, canonical


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger")
    account = account_of(ledger)
    for number in range(1, 6):
        ledger.commit(reserve(ledger, account, round_number=number).reservation, "sha256:" + "0" * 64)
    return ledger


@pytest.fixture
def file(ledger):
    return ledger.folder / "ledger.jsonl"


def lines(file):
    return file.read_bytes().splitlines(keepends=True)


def less_noise(line):
    return line.replace(b'"noiseMultiplier":"2"', b'"noiseMultiplier":"9"')


def signed_by_another(line):
    found = json.loads(line)["entry"] | {"epsilon": "99"}
    return (
        canonical(
            {"entry": found, "signature": Identity.generate(HOSPITAL).sign(canonical(found), purpose=LEDGER_ENTRY)}
        )
        + b"\n"
    )


CHANGES = {
    "a figure was changed": (lambda all_: [less_noise(line) for line in all_], "entry 5 .* is not signed"),
    "an entry was removed": (lambda all_: all_[:5] + all_[6:], "entry 6 .* does not continue"),
    "two entries changed places": (
        lambda all_: [*all_[:4], all_[5], all_[4], *all_[6:]],
        "entry 5 .* does not continue",
    ),
    "an entry came twice": (lambda all_: [*all_[:5], all_[4], *all_[5:]], "entry 6 .* does not continue"),
    "the beginning is gone": (lambda all_: all_[3:], "entry 1 .* does not continue"),
    "another key signed": (lambda all_: [*all_[:3], signed_by_another(all_[3]), *all_[4:]], "entry 4 .* is not signed"),
    "an entry was written otherwise": (
        lambda all_: [all_[0].replace(b":", b": ", 1), *all_[1:]],
        "entry 1 .* is not written as",
    ),
    "an entry is rubbish": (lambda all_: [*all_[:2], b"rubbish\n", *all_[3:]], "entry 3 .* cannot be read"),
    "an entry has a strange field": (lambda all_: [all_[0].replace(b'"hospital"', b'"hostel"'), *all_[1:]], "entry 1"),
    "an entry nests too deeply": (lambda all_: [b"[" * 100_000 + b"\n", *all_[1:]], "entry 1 .* cannot be read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused_with_the_entry_named(ledger, file, change):
    make, told = CHANGES[change]
    file.write_bytes(b"".join(make(lines(file))))

    with pytest.raises(LedgerError, match=told):
        open_ledger(ledger.folder)
    with pytest.raises(LedgerError, match=told):
        read_entries(file)


@pytest.mark.parametrize("kept", [1, 7, 12])
def test_a_file_cut_or_copied_back_while_in_use_is_noticed(ledger, file, kept):
    old = b"".join(lines(file)[:kept])
    file.write_bytes(old)

    with pytest.raises(LedgerError, match="was cut or replaced while it was in use"):
        account_of(ledger)


def test_a_file_moved_into_its_place_is_noticed_though_it_has_the_same_bytes(ledger, file, tmp_path):
    shutil.copy(file, tmp_path / "copy")
    (tmp_path / "copy").replace(file)

    with pytest.raises(LedgerError, match="was cut or replaced"):
        ledger.head()


def test_an_old_file_copied_back_is_told_by_the_head_that_others_have_kept(ledger, file):
    seen = ledger.head()
    file.write_bytes(b"".join(lines(file)[:-2]))

    again = open_ledger(ledger.folder)
    with pytest.raises(
        LedgerError, match=rf"others have seen entry {seen.entries} .* here are {seen.entries - 2} entries"
    ):
        again.compare([seen])


def test_another_history_of_the_same_length_is_told_by_the_head_too(ledger, file):
    seen = ledger.head()
    file.write_bytes(b"".join(lines(file)[:-1]))
    again = open_ledger(ledger.folder)
    account_of(again, dataset="another")

    assert again.head().entries > seen.entries
    with pytest.raises(LedgerError, match="rolled back or replaced"):
        again.compare([seen])


def test_a_ledger_begun_anew_is_told_from_the_one_that_was_there(ledger, file):
    seen = ledger.head()
    file.unlink()
    (ledger.folder / "content.key").unlink()

    with pytest.raises(LedgerError, match="here are 1 entries"):
        open_ledger(ledger.folder).compare([seen])


def test_every_head_that_there_ever_was_is_known_again(ledger):
    heads = [ledger.head()]
    account = account_of(ledger, dataset="another")
    for number in range(3):
        reserve(ledger, account, round_number=number)
        heads.append(ledger.head())

    open_ledger(ledger.folder).compare(heads)


def test_a_ledger_of_another_key_is_not_written_to(ledger, file):
    before = file.read_bytes()

    with pytest.raises(LedgerError, match="signed by another key than that of riverside"):
        open_ledger(ledger.folder, Identity.generate(HOSPITAL))
    assert file.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_what_a_crash_cut_short_was_told_nobody_and_is_cut_off(ledger, file, cut):
    whole = file.read_bytes()
    file.write_bytes(whole + lines(file)[-1][:cut])

    again = open_ledger(ledger.folder)
    assert file.read_bytes() == whole
    assert again.head() == ledger.head()


def test_after_a_gap_that_somebody_accepted_only_an_approved_budget_affords_anything(ledger, file):
    seen = ledger.head()
    file.write_bytes(b"".join(lines(file)[:-3]))
    again = open_ledger(ledger.folder)
    again.accept_gap([seen], "Board", "restored from Monday's backup")
    account = account_of(again)

    with pytest.raises(BudgetError, match="has lost entries"):
        reserve(again, account, round_number=9)
    assert again.affords(account, "job", plan(5)) == 0
    again.set_budget(account, budget("2", approved_by="Board", reason="an approval from before the loss"))
    assert again.affords(account, "job", plan(5)) == 0
    number = again.head().entries - 2
    again.set_budget(account, budget("2", approved_by="Board", reason="counted by hand", after_gap=number))
    reserve(again, account, round_number=9)
    again.compare([seen, again.head()])  # the loss is known: nobody need be alarmed for ever


def test_a_second_rollback_is_noticed_though_the_first_was_accepted(ledger, file):
    lost, kept = ledger.head(), lines(file)[:-3]
    file.write_bytes(b"".join(kept))
    again = open_ledger(ledger.folder)
    after = again.accept_gap([lost], "Board", "restored from Monday's backup")
    account = account_of(again)
    again.set_budget(account, budget("3", approved_by="Board", reason="counted by hand", after_gap=after))
    accepted = len(lines(file))
    seen = [again.head() for number in (6, 7, 8) if reserve(again, account, round_number=number)]
    file.write_bytes(b"".join(lines(file)[:accepted]))

    once_more = open_ledger(ledger.folder)
    once_more.compare([lost])
    for head in seen:
        with pytest.raises(LedgerError, match="rolled back or replaced"):
            once_more.compare([head])
    with pytest.raises(LedgerError, match="rolled back or replaced"):
        once_more.compare([Head(lost.entries - 1, "sha256:" + "7" * 64)])


def test_every_missing_head_is_named_and_accepted_by_itself(ledger, file):
    seen = [ledger.head()]
    account = ledger.find("heart")
    seen += [ledger.head() for number in (6, 7) if reserve(ledger, account, round_number=number)]
    file.write_bytes(b"".join(lines(file)[:5]))

    again = open_ledger(ledger.folder)
    with pytest.raises(
        LedgerError, match=", ".join(f"entry {each.entries} with the digest {each.digest}" for each in seen)
    ):
        again.compare(seen)
    with pytest.raises(LedgerError, match=r"with the digest .*, 4 others, and here are 5 entries without them"):
        again.compare([Head(number, "sha256:" + "7" * 64) for number in range(1, 13)])
    assert again.accept_gap(seen[:2], "Board", "lost") == 7
    with pytest.raises(LedgerError, match=seen[2].digest):
        again.compare(seen)


def test_data_that_is_first_seen_after_a_gap_may_be_what_was_lost(ledger, file):
    seen = ledger.head()
    file.unlink()
    (ledger.folder / "content.key").unlink()
    again = open_ledger(ledger.folder)
    again.accept_gap([seen], "Board", "the volume is gone")
    account = account_of(again)

    assert again.affords(account, "job", plan(5)) == 0
    assert again.state(account).available == 0
    again.set_budget(account, budget("2", approved_by="Board", reason="new patients", after_gap=2))
    assert again.affords(account, "job", plan(5)) > 0


def test_a_full_disk_releases_nothing_and_breaks_nothing(ledger, monkeypatch):
    import os

    account = ledger.register("heart", content("heart"), "Record")
    before = ledger.head()

    def full(_descriptor, _data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(LedgerError, match=r"cannot be written: .*No space left.*nothing is released meanwhile"):
            reserve(ledger, account, round_number=7)
    assert ledger.head() == before
    reserve(ledger, account, round_number=7)


@pytest.mark.parametrize("empty", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
def test_a_ledger_without_entries_is_not_begun_anew_while_its_content_key_is_there(ledger, file, empty):
    key = (ledger.folder / "content.key").read_bytes()
    empty(file)

    for _ in range(2):
        with pytest.raises(LedgerError, match=r"emptied or removed\. Restore a copy\. .*move content.key away"):
            open_ledger(ledger.folder)
    assert (file.read_bytes(), (ledger.folder / "content.key").read_bytes()) == (b"", key)


def test_a_ledger_that_was_killed_while_it_began_goes_on(tmp_path):
    begun = open_ledger(tmp_path / "ledger")
    (begun.folder / "content.key").unlink()  # as if killed between its first entry and its key
    again = open_ledger(begun.folder)
    account_of(again)

    assert open_ledger(begun.folder).content_key() == again.content_key() != begun.content_key()


def test_without_its_content_key_a_ledger_knows_no_data_again_and_says_so(ledger):
    (ledger.folder / "content.key").unlink()

    with pytest.raises(LedgerError, match=r"content key .* cannot be read.*Restore it beside the ledger"):
        open_ledger(ledger.folder)


def test_what_could_not_be_read_back_is_not_written(ledger, file):
    account, before = account_of(ledger), file.read_bytes()
    endless = plan(10**9, ROUND)

    with pytest.raises(LedgerError, match=r"has a wrong field.*The ledger is as it was\."):
        ledger.admit(ledger.register("unlimited", content("unlimited"), "Record"), "job", endless)
    assert file.read_bytes().startswith(before)
    assert open_ledger(ledger.folder).state(account) == ledger.state(account)


@pytest.mark.parametrize("epsilon", ["1e-20", "1e-99", "1e40", "9e99"])
def test_an_odd_budget_is_one_that_every_later_start_can_read(ledger, epsilon):
    account = ledger.register("odd", content("odd"), "Record")
    ledger.set_budget(account, budget(epsilon))

    assert ledger.state(account).epsilon == float(epsilon)
    assert open_ledger(ledger.folder).state(account) == ledger.state(account)


def no_orders(*_budget):
    return 1 / 0


def test_what_could_not_be_counted_with_is_not_written_and_leaves_everything_as_it_was(ledger, file, monkeypatch):
    account, before = ledger.register("odd", content("odd"), "Record"), file.read_bytes()
    stand = ledger.state(account)
    with monkeypatch.context() as patch:
        patch.setattr(filter_rule, "favourite_orders", no_orders)
        with pytest.raises(LedgerError, match=r"is not written: .*ZeroDivisionError"):
            ledger.set_budget(account, budget("2"))

    assert (file.read_bytes(), ledger.state(account)) == (before, stand)
    ledger.set_budget(account, budget("2"))


def test_an_entry_that_cannot_be_counted_with_is_named(ledger, monkeypatch):
    monkeypatch.setattr(filter_rule, "favourite_orders", no_orders)

    with pytest.raises(LedgerError, match=r"entry 4 .* contradicts those before it: ZeroDivisionError"):
        open_ledger(ledger.folder)


def test_rehearsing_any_entry_changes_nothing(ledger):
    reserve(ledger, account_of(ledger, dataset="another"))
    account = ledger.register("heart", content("another"), "Record")  # joins the two
    ledger.admit(account, "job", plan(6))
    ledger.give_back(account, "job")
    with pytest.raises(BudgetError):
        ledger.admit(account, "job", plan(1000))
    ledger.set_budget(account, budget("4", approved_by="Board"))
    ledger.accept_gap([ledger.head()], "Board", "lost")
    accounts = Accounts()
    for entry in read_entries(ledger.folder / "ledger.jsonl")[0]:
        before = repr(accounts)
        accounts.rehearse(entry)
        assert repr(accounts) == before
        accounts.take_in(entry)
