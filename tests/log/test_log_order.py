"""Across topics: whoever has seen a later transaction finds all that earlier ones of the same producer wrote."""

from consilia.log import follow


def test_what_was_committed_before_something_seen_is_found(log_factory, fresh):
    writer, reader = log_factory(), log_factory()
    model, rounds = fresh("model"), fresh("rounds")
    writer.create_topic(model, compacted=True)
    writer.create_topic(rounds)
    producer = writer.producer(fresh("producer"))
    heard = found = 0
    for version in range(8):
        with producer.transaction() as transaction:
            transaction.append(model, b"weights", key="model/0", headers={"version": str(version)})
        with producer.transaction() as transaction:
            transaction.append(rounds, b"opened")
        while not (news := reader.read(rounds, heard)):
            assert reader.wait({rounds: heard}, 10)
        heard = news[-1].offset + 1
        records = list(follow(reader, model, found))
        assert [record.headers["version"] for record in records] == [str(version)]
        found = records[-1].offset + 1
