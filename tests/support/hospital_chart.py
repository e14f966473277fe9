"""The chart for a hospital with a cluster of its own, as Helm renders it."""

import yaml
from chart import ROOT, helm

CHART = ROOT / "charts" / "consilia-hospital"
OPERATOR = "consilia-hospital-operator"
NAME = "riverside"
DIGEST = "sha256:" + "1" * 64


def render(values=None, *, namespace=NAME, apis=()):
    given = [word for api in apis for word in ("--api-versions", api)]
    text = helm("template", "consilia-hospital", CHART, "-n", namespace, *given, values=values)
    return [document for document in yaml.safe_load_all(text) if document]
