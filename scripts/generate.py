"""Write, or compare with `--check`, every file that is made from the code."""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path

from consilia.api.crd import DEFINITIONS, Definition, custom_resource_definition
from consilia.api.reference import reference_page
from consilia.manifest.yaml_document import write_document
from scripts.chart.crd_templates import crd_template
from scripts.chart.hospital_values import HospitalChartValues
from scripts.chart.shared import HOSPITAL, HUB, TEMPLATES, shared_template
from scripts.chart.values import ChartValues
from scripts.chart.values_schema import values_schema_text
from scripts.chart.values_text import values_text
from scripts.dashboards.federation import FEDERATION
from scripts.dashboards.grafana import dashboard_text
from scripts.dashboards.privacy import PRIVACY
from scripts.pages.chart import HOSPITALS_INTRODUCTION, INTRODUCTION, chart_page
from scripts.pages.cli import cli_page
from scripts.pages.errors import errors_page
from scripts.pages.kafka_settings import kafka_settings_page
from scripts.pages.messages import messages_page
from scripts.pages.metrics import metrics_page
from scripts.pages.python import python_page
from scripts.pages.settings import settings_page

ROOT = Path(__file__).resolve().parent.parent


def crd_text(definition: Definition) -> str:
    """One file of crds/."""
    return (
        f"# Generated from consilia/api by `make generate`.\n{write_document(custom_resource_definition(definition))}"
    )


def page_text(definition: Definition) -> str:
    """One page of docs/reference/, with the example that stands in examples/."""
    example = ROOT / "examples" / "resources" / f"{definition.singular}.yaml"
    return reference_page(definition, example.read_text())


GENERATED: tuple[tuple[str, Callable[[], str]], ...] = (
    *((f"crds/{definition.name}.yaml", functools.partial(crd_text, definition)) for definition in DEFINITIONS),
    *(
        (f"docs/reference/{definition.singular}.md", functools.partial(page_text, definition))
        for definition in DEFINITIONS
    ),
    ("charts/consilia/dashboards/federation.json", functools.partial(dashboard_text, FEDERATION)),
    ("charts/consilia/dashboards/privacy.json", functools.partial(dashboard_text, PRIVACY)),
    *(
        (f"charts/consilia/templates/crds/{definition.plural}.yaml", functools.partial(crd_template, definition))
        for definition in DEFINITIONS
    ),
    ("charts/consilia-hospital/dashboards/privacy.json", functools.partial(dashboard_text, PRIVACY)),
    *(
        (f"{HOSPITAL}/templates/crds/{definition.plural}.yaml", functools.partial(crd_template, definition))
        for definition in DEFINITIONS
    ),
    *((f"{HOSPITAL}/templates/{name}", functools.partial(shared_template, ROOT, name)) for name in TEMPLATES),
    # All alerts: those about jobs have no series in a hospital, and never fire there.
    (f"{HOSPITAL}/rules/consilia.yaml", (ROOT / HUB / "rules" / "consilia.yaml").read_text),
    (f"{HUB}/values.schema.json", functools.partial(values_schema_text, ChartValues)),
    (f"{HUB}/values.yaml", functools.partial(values_text, ChartValues())),
    (f"{HOSPITAL}/values.schema.json", functools.partial(values_schema_text, HospitalChartValues)),
    (f"{HOSPITAL}/values.yaml", functools.partial(values_text, HospitalChartValues())),
    ("docs/reference/chart.md", functools.partial(chart_page, ChartValues(), "Values of the chart", INTRODUCTION)),
    (
        "docs/reference/chart-hospital.md",
        functools.partial(
            chart_page, HospitalChartValues(), "Values of the chart for a hospital", HOSPITALS_INTRODUCTION
        ),
    ),
    ("docs/reference/cli.md", cli_page),
    ("docs/reference/errors.md", errors_page),
    ("docs/reference/kafka-settings.md", kafka_settings_page),
    ("docs/reference/messages.md", messages_page),
    ("docs/reference/metrics.md", metrics_page),
    ("docs/reference/python.md", python_page),
    ("docs/reference/settings.md", settings_page),
)
"""Each generated file, from the repository's root, and what makes its text. Add yours here."""


def differing(root: Path) -> list[str]:
    """The files below `root` that are missing or not what the code says."""
    return [path for path, text in GENERATED if not (root / path).is_file() or (root / path).read_text() != text()]


def main() -> int:
    """0 when all files are as they should be, 1 when `--check` found others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file differs")
    check = parser.parse_args().check
    stale = differing(ROOT)
    for path in stale:
        if check:
            print(f"{path} differs from the code it is made from: run `make generate`", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(dict(GENERATED)[path]())
            print(f"wrote {path}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
