"""What both charts have in common: written for the hub's, copied into the hospital's."""

from pathlib import Path

HUB, HOSPITAL = "charts/consilia", "charts/consilia-hospital"
TEMPLATES = (
    "_names.tpl",
    "_pods.tpl",
    "admission/_admission.tpl",
    "admission/budgets.yaml",
    "admission/figures.yaml",
    "admission/ledgers.yaml",
    "configmap.yaml",
    "deployment.yaml",
    "monitoring/_monitoring.tpl",
    "monitoring/dashboards.yaml",
    "monitoring/podmonitor.yaml",
    "monitoring/prometheusrule.yaml",
    "monitoring/servicemonitor.yaml",
    "own.yaml",
    "rbac/budget-approver.yaml",
    "rbac/namespaces.yaml",
    "rbac/own.yaml",
    "service.yaml",
    "serviceaccount.yaml",
    "tests/ready.yaml",
)
_HEAD = "{{- /* Copied from charts/consilia by `make generate`. */ -}}\n"


def shared_template(root: Path, name: str) -> str:
    """One of them, as it stands in the hospital's chart."""
    return _HEAD + (root / HUB / "templates" / name).read_text(encoding="utf-8")
