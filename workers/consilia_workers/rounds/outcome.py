"""What a closed round says, put together from who took part."""

from collections.abc import Collection, Mapping, Sequence

from consilia.wire.messages import CountedUpdate, Payload, RoundClosed, RoundOpened, Update
from consilia_workers.rounds.metrics import asked, weighted_mean
from consilia_workers.rounds.reception import Reception


def outcome(
    opened: RoundOpened,
    model: Payload,
    reception: Reception,
    *,
    metrics: Collection[str],
    dropped: Sequence[str],
    seconds: Mapping[str, float],
) -> RoundClosed:
    """The message that closes a round with the new global `model`; hospitals in the order of their names.

    `metrics` are the names of those that the job asks for.
    """
    cohort = [_counted(reception.arrived[name].update, metrics) for name in sorted(reception.arrived)]
    return RoundClosed(
        job=opened.job,
        round=opened.round,
        model=model,
        cohort=cohort,
        refused=reception.refused,
        dropped=list(dropped),
        present=sorted(reception.present),
        left=reception.left,
        metrics=weighted_mean((counted.samples, counted.metrics) for counted in cohort),
        seconds=dict(seconds),
        received_bytes=sum(arrived.update.payload.size for arrived in reception.arrived.values()),
    )


def _counted(update: Update, metrics: Collection[str]) -> CountedUpdate:
    return CountedUpdate(
        hospital=update.hospital,
        sha256=update.payload.sha256,
        samples=update.samples,
        metrics=asked(update.metrics, metrics),
        train_seconds=update.train_seconds,
        epsilon=update.epsilon,
        ledger=update.ledger,
    )
