"""The dashboard of a privacy officer: what was spent of each hospital's budget, how fast, and who was refused."""

from scripts.dashboards.panels import JOB, NAMESPACE, SELECTED, WINDOW, Dashboard, Panel, Query, Row, Steps, Variable

HOSPITAL = Variable(name="hospital", title="Hospital", series="consilia_privacy_epsilon_spent", label="hospital")
OURS = 'hospital=~"$hospital"'
JOBS = "sum by (hospital, dataset) (max by (namespace, job, hospital, dataset) ({}))"
"""Over all jobs on a dataset: for data that no ledger speaks of."""
LEDGER = f"max by (hospital, dataset) (consilia_privacy_dataset_epsilon_spent{{{OURS}}})"
"""By the hospital's own ledger, over all jobs that ever were."""
SPENT_NOW = f"({LEDGER} or {JOBS.format(f'consilia_privacy_epsilon_spent{{{OURS}}}')})"
SPENT = f"({LEDGER} or {JOBS.format(f'max_over_time(consilia_privacy_epsilon_spent{{{OURS}}}[$__range])')})"
"""With jobs that have ended in the time that is shown: their trainers are gone, what they spent is not given back."""
BUDGET = f"max by (hospital, dataset) (consilia_privacy_epsilon_budget{{{OURS}}})"
"""+Inf where the dataset has none."""
EACH = "{{hospital}}: {{dataset}}"
SHARES: Steps = ((0.8, "orange"), (1, "red"))

NOW = Row(
    "Now",
    (
        Panel(
            kind="stat",
            title="Most of a budget that is spent",
            description="Over all datasets. At 100 % the hospital takes part in no further round.",
            queries=(Query(f"max({SPENT} / {BUDGET})"),),
            unit="percentunit",
            columns=6,
            lines=4,
            decimals=1,
            steps=SHARES,
        ),
        Panel(
            kind="stat",
            title="Largest ε",
            description="At any one hospital, by all jobs that its ledger knows of.",
            queries=(Query(f"max({SPENT})"),),
            unit="none",
            columns=6,
            lines=4,
            decimals=3,
        ),
        Panel(
            kind="stat",
            title="Denials",
            description="Jobs that a hospital refused, in the time that is shown.",
            queries=(Query("sum(increase(consilia_privacy_denials_total[$__range]))"),),
            unit="none",
            columns=6,
            lines=4,
            decimals=0,
            steps=((1, "orange"),),
        ),
        Panel(
            kind="stat",
            title="Forged updates",
            description="In the time that is shown. Their signature did not hold: somebody poses as a hospital.",
            queries=(
                Query(f'sum(increase(consilia_updates_rejected_total{{{SELECTED}, reason="Forged"}}[$__range]))'),
            ),
            unit="none",
            columns=6,
            lines=4,
            decimals=0,
            steps=((1, "red"),),
        ),
    ),
)

BUDGETS = Row(
    "Budgets",
    (
        Panel(
            kind="bargauge",
            title="Spent of the budget",
            description="As a share, dataset by dataset. Without a budget it stays at zero: nothing limits the jobs.",
            queries=(Query(f"{SPENT} / {BUDGET}", EACH),),
            unit="percentunit",
            minimum=0,
            maximum=1,
            steps=SHARES,
        ),
        Panel(
            kind="table",
            title="ε by hospital and dataset",
            description="By the hospital's own ledger, which decides, and forgets no job.",
            queries=(Query(SPENT), Query(BUDGET), Query(f"{BUDGET} - {SPENT}")),
            unit="none",
            decimals=3,
            headings=("ε spent", "ε budget", "ε left"),
        ),
        Panel(
            kind="timeseries",
            title="ε spent",
            description="Dataset by dataset, as the hospital's ledger composes all jobs; it never falls.",
            queries=(Query(SPENT_NOW, EACH),),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="ε spent per hour",
            description="How fast the budgets burn, over the span chosen above.",
            queries=(
                Query(
                    "3600 * sum by (hospital, dataset) "
                    f"(clamp_min(deriv(consilia_privacy_epsilon_spent{{{OURS}}}[{WINDOW}]), 0))",
                    EACH,
                ),
            ),
            unit="none",
            columns=8,
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="ε spent, job by job",
            description="The largest over the hospitals: what the job's `status.epsilon.maxSpent` says.",
            queries=(
                Query(
                    f"max by (namespace, job) (consilia_privacy_epsilon_spent{{{SELECTED}, {OURS}}})",
                    "{{namespace}}/{{job}}",
                ),
            ),
            unit="none",
            columns=8,
            minimum=0,
        ),
    ),
)

REFUSED = Row(
    "Refused",
    (
        Panel(
            kind="timeseries",
            title="Denials by reason",
            description="Jobs that a hospital refused, within the span chosen above; its HospitalTask says why.",
            queries=(Query(f"sum by (reason) (increase(consilia_privacy_denials_total[{WINDOW}]))", "{{reason}}"),),
            unit="none",
            minimum=0,
        ),
        Panel(
            kind="timeseries",
            title="Updates refused by reason",
            description="Messages that broke a rule of the wire, within the span chosen above. They count nowhere.",
            queries=(
                Query(
                    f"sum by (reason) (increase(consilia_updates_rejected_total{{{SELECTED}}}[{WINDOW}]))",
                    "{{reason}}",
                ),
            ),
            unit="none",
            minimum=0,
        ),
    ),
)

PRIVACY = Dashboard(
    uid="consilia-privacy",
    title="Consilia / Privacy",
    description="What was spent of each hospital's privacy budget, how fast, and who was refused. "
    "What to do about it: docs/guides/monitoring.md.",
    variables=(NAMESPACE, JOB, HOSPITAL),
    rows=(NOW, BUDGETS, REFUSED),
)
