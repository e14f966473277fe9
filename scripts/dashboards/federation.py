"""The dashboard of a federation: how its rounds go, what its hospitals do, and how the operator is."""

from scripts.dashboards.panels import JOB, NAMESPACE, SELECTED, WINDOW, Dashboard, Panel, Query, Row

NOW = Row(
    "Now",
    (
        Panel(
            kind="stat",
            title="Jobs",
            description="Jobs that have an aggregator, finished ones that still offer their model included.",
            queries=(Query(f"count(consilia_job_rounds{{{SELECTED}}})"),),
            unit="none",
            columns=4,
            lines=4,
        ),
        Panel(
            kind="stat",
            title="Rounds closed",
            description="In the time that is shown.",
            queries=(Query(f"sum(increase(consilia_rounds_total{{{SELECTED}}}[$__range]))"),),
            unit="none",
            columns=4,
            lines=4,
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Rounds left",
            description="Until the jobs have had as many as they asked for; some stop earlier, by their own rule.",
            queries=(Query(f"sum(consilia_job_rounds{{{SELECTED}}} - consilia_job_round{{{SELECTED}}})"),),
            unit="none",
            columns=4,
            lines=4,
        ),
        Panel(
            kind="stat",
            title="A round takes",
            description="The median over the time that is shown, from its opening to its closing.",
            queries=(
                Query(
                    "histogram_quantile(0.5, sum by (le) "
                    f"(increase(consilia_round_duration_seconds_bucket{{{SELECTED}}}[$__range])))"
                ),
            ),
            unit="s",
            columns=4,
            lines=4,
        ),
        Panel(
            kind="stat",
            title="Hospitals late or gone",
            description="In the open rounds. Their updates are missing; `kubectl describe fj` names them and says why.",
            queries=(Query(f'sum(consilia_round_participants{{{SELECTED}, state=~"Late|Absent|Left"}})'),),
            unit="none",
            columns=4,
            lines=4,
            steps=((1, "orange"),),
        ),
        Panel(
            kind="stat",
            title="Updates refused",
            description="In the time that is shown. The privacy dashboard tells them apart by reason.",
            queries=(Query(f"sum(increase(consilia_updates_rejected_total{{{SELECTED}}}[$__range]))"),),
            unit="none",
            columns=4,
            lines=4,
            decimals=0,
            steps=((1, "red"),),
        ),
    ),
)

ROUNDS = Row(
    "Rounds",
    (
        Panel(
            kind="bargauge",
            title="How far the jobs are",
            description="The open or last round, as a share of the rounds that the job asks for.",
            queries=(
                Query(f"consilia_job_round{{{SELECTED}}} / consilia_job_rounds{{{SELECTED}}}", "{{namespace}}/{{job}}"),
            ),
            unit="percentunit",
            columns=8,
            minimum=0,
            maximum=1,
        ),
        Panel(
            kind="timeseries",
            title="Duration of a round",
            description="From its opening to its closing: the median, and what one round in a hundred exceeds.",
            queries=tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate(consilia_round_duration_seconds_bucket{{{SELECTED}}}[{WINDOW}])))",
                    name,
                )
                for share, name in ((0.5, "median"), (0.99, "p99"))
            ),
            unit="s",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Where a round's time goes",
            description="Means along the update that came last: the way there and back, training, waiting for those "
            "that did not come, aggregating.",
            queries=(
                Query(
                    f"sum by (phase) (rate(consilia_round_phase_duration_seconds_sum{{{SELECTED}}}[{WINDOW}])) / "
                    f"sum by (phase) (rate(consilia_round_phase_duration_seconds_count{{{SELECTED}}}[{WINDOW}]))",
                    "{{phase}}",
                ),
            ),
            unit="s",
            columns=8,
            stacked=True,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Rounds by result",
            description="Within the span chosen above. Partial: closed without stragglers. Failed: the job ends.",
            queries=(
                Query(f"sum by (result) (increase(consilia_rounds_total{{{SELECTED}}}[{WINDOW}]))", "{{result}}"),
            ),
            unit="none",
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Quality of the global model",
            description="Means over the hospitals: while it trains weighted by patients, at its end all alike.",
            queries=(Query(f"consilia_job_metric{{{SELECTED}}}", "{{job}}: {{name}}"),),
            unit="none",
        ),
    ),
)

HOSPITALS = Row(
    "Hospitals",
    (
        Panel(
            kind="timeseries",
            title="Hospitals by state",
            description="What the hospitals do in the open rounds, over all chosen jobs.",
            queries=(Query(f"sum by (state) (consilia_round_participants{{{SELECTED}}})", "{{state}}"),),
            unit="none",
            columns=8,
            stacked=True,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Training at the hospitals",
            description="The mean duration of one training, by hospital: the slowest sets the round's pace.",
            queries=(
                Query(
                    f"sum by (hospital) (rate(consilia_training_duration_seconds_sum{{{SELECTED}}}[{WINDOW}])) / "
                    f"sum by (hospital) (rate(consilia_training_duration_seconds_count{{{SELECTED}}}[{WINDOW}]))",
                    "{{hospital}}",
                ),
            ),
            unit="s",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Bytes of updates and models",
            description="Received from hospitals, and published: a model counts once, however many fetch it.",
            queries=(
                Query(
                    f"sum by (direction) (rate(consilia_update_bytes_total{{{SELECTED}}}[{WINDOW}]))", "{{direction}}"
                ),
            ),
            unit="Bps",
            columns=8,
            minimum=0,
        ),
    ),
)

CLUSTERS = Row(
    "Hospitals in clusters of their own",
    (
        Panel(
            kind="timeseries",
            title="Hospitals heard of",
            description="1 while a hospital in another cluster reports to its hub, 0 while it does not.",
            queries=(
                Query("min by (namespace, hospital) (consilia_hospital_available)", "{{hospital}} at {{namespace}}"),
            ),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Hub followed",
            description="1 while this hospital's operator follows its hub over the log, 0 while it cannot.",
            queries=(Query("min by (namespace, hub) (consilia_hub_connected)", "{{hub}} from {{namespace}}"),),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Letters refused by reason",
            description="Letters of hub or hospital that were not believed, within the span chosen above.",
            queries=(Query(f"sum by (reason) (increase(consilia_letters_refused_total[{WINDOW}]))", "{{reason}}"),),
            unit="none",
            columns=8,
            minimum=0,
        ),
    ),
)

GPUS = Row(
    "GPUs",
    (
        Panel(
            kind="timeseries",
            title="GPUs asked for",
            description="By all trainers of a job together, whether or not they compute right now.",
            queries=(Query(f"sum by (namespace, job) (consilia_trainer_gpus{{{SELECTED}}})", "{{namespace}}/{{job}}"),),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="GPU memory in use",
            description="By the tensors of each hospital's training; 0 where it runs on the CPU.",
            queries=(
                Query(
                    f'sum by (hospital) (consilia_gpu_memory_bytes{{{SELECTED}, kind="allocated"}}) '
                    f"or 0 * sum by (hospital) (consilia_trainer_gpus{{{SELECTED}}})",
                    "{{hospital}}",
                ),
            ),
            unit="bytes",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Trainings begun, updates sent",
            description="Within the span chosen above. More begun than sent: trainings crash and are begun again.",
            queries=(
                Query(f"sum(increase(consilia_trainer_attempts_total{{{SELECTED}}}[{WINDOW}]))", "begun"),
                Query(f"sum(increase(consilia_trainer_updates_total{{{SELECTED}}}[{WINDOW}]))", "sent"),
            ),
            unit="none",
            columns=8,
            minimum=0,
        ),
    ),
)

OPERATOR = Row(
    "Operator",
    (
        Panel(
            kind="timeseries",
            title="Jobs by state",
            description="Every FederatedJob that the operator knows.",
            queries=(Query("sum by (state) (consilia_jobs)", "{{state}}"),),
            unit="none",
            columns=8,
            stacked=True,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Reconciling takes",
            description="What one reconciliation in a hundred exceeds, by kind of object.",
            queries=(
                Query(
                    "histogram_quantile(0.99, sum by (kind, le) "
                    f"(rate(consilia_reconcile_duration_seconds_bucket[{WINDOW}])))",
                    "{{kind}}",
                ),
            ),
            unit="s",
            columns=8,
            minimum=0,
            steps=((1, "orange"), (10, "red")),
        ),
        Panel(
            kind="timeseries",
            title="Errors of reconciling",
            description="Within the span chosen above. The operator tries again; its log says what is wrong.",
            queries=(
                Query(
                    f"sum by (kind, reason) (increase(consilia_reconcile_errors_total[{WINDOW}]))",
                    "{{kind}}: {{reason}}",
                ),
            ),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Since the last event of a watch",
            description="PodTemplate is the operator's own heartbeat: silent for minutes, it is dead. Others may rest.",
            queries=(Query("time() - max by (kind) (consilia_watch_last_event_timestamp_seconds)", "{{kind}}"),),
            unit="s",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Waiting to be reconciled",
            description="Objects in the operator's queue. It drains to zero within seconds of any change.",
            queries=(Query("sum(consilia_queue_depth)", "objects"),),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="table",
            title="Programs",
            description="What runs, in which version.",
            queries=(Query("count by (program, version) (consilia_build_info)"),),
            unit="none",
            columns=8,
            headings=("running",),
        ),
    ),
)

FEDERATION = Dashboard(
    uid="consilia-federation",
    title="Consilia / Federation",
    description="How the rounds go, what the hospitals do, and how the operator is. "
    "What to do about it: docs/guides/monitoring.md.",
    variables=(NAMESPACE, JOB),
    rows=(NOW, ROUNDS, HOSPITALS, GPUS, CLUSTERS, OPERATOR),
)
