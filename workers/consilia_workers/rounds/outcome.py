"""What a closed round says, put together from who took part."""

from collections.abc import Mapping, Sequence

from consilia.wire.messages import CountedUpdate, Payload, RoundClosed, RoundOpened, Update
from consilia_workers.rounds.metrics import weighted_mean
from consilia_workers.rounds.reception import Reception


def outcome(
    opened: RoundOpened, model: Payload, reception: Reception, *, dropped: Sequence[str], seconds: Mapping[str, float]
) -> RoundClosed:
    """The message that closes a round with the new global `model`; hospitals in the order of their names."""
    updates = [reception.arrived[name].update for name in sorted(reception.arrived)]
    return RoundClosed(
        job=opened.job,
        round=opened.round,
        model=model,
        cohort=[_counted(update) for update in updates],
        refused=reception.refused,
        dropped=list(dropped),
        present=sorted(reception.present),
        left=reception.left,
        metrics=weighted_mean((update.samples, update.metrics) for update in updates),
        seconds=dict(seconds),
        received_bytes=sum(update.payload.size for update in updates),
    )


def _counted(update: Update) -> CountedUpdate:
    return CountedUpdate(
        hospital=update.hospital,
        sha256=update.payload.sha256,
        samples=update.samples,
        metrics=update.metrics,
        train_seconds=update.train_seconds,
    )
