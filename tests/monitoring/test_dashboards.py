"""The dashboards' files: what Grafana imports, and whether what they ask for exists."""

import json
import re

import pytest
import yaml
from prometheus import DASHBOARDS, RULES, SUBSTITUTIONS, configuration, metrics_named, panel_queries, running_prometheus

from scripts.pages.metrics import PROGRAMS, collectors

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
BUILT_IN = {"__range", "__rate_interval", "__interval", "datasource"}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_two_dashboards_with_addresses_of_their_own():
    assert [read(path)["uid"] for path in DASHBOARDS] == ["consilia-federation", "consilia-privacy"]


@each_dashboard
def test_it_can_be_imported_anywhere(path):
    """No number of another Grafana's database, no data source but the one that the reader chooses."""
    dashboard = read(path)
    assert "id" not in dashboard
    sources = {json.dumps(found) for found in everywhere(dashboard, "datasource")}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert sorted(set(ids)) == sorted(ids)


def everywhere(document, key):
    """All values of a key, at whatever depth."""
    if isinstance(document, dict):
        yield from ([document[key]] if key in document else [])
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    for each in inner:
        yield from everywhere(each, key)


@each_dashboard
def test_every_variable_that_is_used_can_be_chosen(path):
    dashboard = read(path)
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", path.read_text(encoding="utf-8")))
    assert used - BUILT_IN - {"__all"} <= known
    assert known <= used | {"window"}


@each_dashboard
def test_no_panel_covers_another(path):
    taken = set()
    for panel in read(path)["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@each_dashboard
def test_every_panel_says_what_it_shows_in_which_unit(path):
    panels = [panel for panel in read(path)["panels"] if panel["type"] != "row"]
    titles = [panel["title"] for panel in panels]
    assert len(titles) == len(set(titles))
    for panel in panels:
        assert len(panel["description"].split()) >= 4, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


def test_prometheus_understands_every_query(tmp_path):
    with running_prometheus(tmp_path, configuration([])) as prometheus:
        for asked in panel_queries():
            prometheus.now(asked.substituted(SUBSTITUTIONS))
        with pytest.raises(AssertionError, match="parse error"):
            prometheus.now("sum by (")


def exported(define):
    """The names of a program's metrics, as queries write them."""
    families = [family for collector in collectors(define) for family in collector.describe()]
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def named():
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    expressions = [rule["expr"] for rule in rules] + [asked.expression for asked in panel_queries()]
    return set().union(*map(metrics_named, expressions))


def test_every_metric_that_is_asked_for_is_exported_by_exactly_one_program():
    by_program = {name: exported(define) for name, define in PROGRAMS}
    for metric in sorted(named() - {"consilia_build_info"}):
        assert len([name for name, metrics in by_program.items() if metric in metrics]) == 1, metric
