"""From our description of a dashboard to the JSON that Grafana 11 and 12 import. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from scripts.dashboards.panels import WIDTH, Dashboard, Panel, Query, Row, Variable

SCHEMA_VERSION = 41
"""Of Grafana's dashboards: what Grafana 12.0 writes, and Grafana 11 reads."""
WINDOWS = ("1m", "5m", "15m", "1h", "6h", "1d")
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_REFERENCES = "ABCDEFGH"

Document = dict[str, Any]


def dashboard_text(dashboard: Dashboard) -> str:
    """The file of it."""
    return json.dumps(document(dashboard), indent=2, ensure_ascii=False) + "\n"


def document(dashboard: Dashboard) -> Document:
    """The dashboard without `id`, so that it can be imported anywhere; `uid` stays the same."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["consilia"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "links": [_siblings()],
        "annotations": {"list": []},
        "templating": {"list": [_datasource(), *map(_chosen, dashboard.variables), _window()]},
        "panels": list(_laid_out(dashboard.rows)),
    }


def _siblings() -> Document:
    """A menu of our other dashboards, which keeps what was chosen."""
    menu = {
        "type": "dashboards",
        "title": "Consilia",
        "tags": ["consilia"],
        "asDropdown": True,
        "icon": "external link",
    }
    return menu | {"includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}


def _datasource() -> Document:
    return {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"} | {
        "current": {},
        "options": [],
        "refresh": 1,
        "regex": "",
        "hide": 0,
    }


def _chosen(variable: Variable) -> Document:
    query = f"label_values({variable.series}, {variable.label})"
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.title,
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"{variable.name}-values"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
    }


def _window() -> Document:
    choices = [{"text": span, "value": span, "selected": span == "5m"} for span in WINDOWS]
    return {
        "type": "interval",
        "name": "window",
        "label": "Rates over",
        "query": ",".join(WINDOWS),
        "options": choices,
        "current": choices[1],
        "auto": False,
        "auto_min": "10s",
        "auto_count": 30,
        "refresh": 2,
        "hide": 0,
    }


def _laid_out(rows: tuple[Row, ...]) -> Iterator[Document]:
    """Rows below one another; in each, panels side by side, on a new line where one does not fit."""
    top, number = 0, 1
    for row in rows:
        yield {"type": "row", "id": number, "title": row.title, "collapsed": False, "panels": []} | _place(
            0, top, WIDTH, 1
        )
        top, left, tallest, number = top + 1, 0, 0, number + 1
        for panel in row.panels:
            if left + panel.columns > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            yield _panel(panel, number) | _place(left, top, panel.columns, panel.lines)
            left, tallest, number = left + panel.columns, max(tallest, panel.lines), number + 1
        top += tallest


def _place(left: int, top: int, columns: int, lines: int) -> Document:
    return {"gridPos": {"x": left, "y": top, "w": columns, "h": lines}}


def _panel(panel: Panel, number: int) -> Document:
    made: Document = {
        "type": panel.kind,
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "targets": [_target(panel, *pair) for pair in zip(_REFERENCES, panel.queries, strict=False)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }
    return made | ({"transformations": _transformations(panel)} if panel.kind == "table" else {})


def _target(panel: Panel, reference: str, query: Query) -> Document:
    now = panel.kind != "timeseries"
    return {
        "refId": reference,
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": now,
        "range": not now,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> Document:
    steps = [{"color": "green", "value": None}, *({"color": colour, "value": at} for at, colour in panel.steps)]
    bounds = {"min": panel.minimum, "max": panel.maximum, "decimals": panel.decimals}
    return {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": _drawing(panel),
        "mappings": [],
        **{name: value for name, value in bounds.items() if value is not None},
    }


def _drawing(panel: Panel) -> Document:
    if panel.kind != "timeseries":
        return {}
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": True,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
        "scaleDistribution": {"type": "log", "log": 10} if panel.logarithmic else {"type": "linear"},
        "axisPlacement": "auto",
    }


def _options(panel: Panel) -> Document:
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "timeseries":
            legend = {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            }
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        case "stat":
            return {"reduceOptions": newest, "colorMode": "value", "graphMode": "none", "textMode": "auto"} | {
                "justifyMode": "auto",
                "orientation": "auto",
            }
        case "bargauge":
            return {"reduceOptions": newest, "displayMode": "gradient", "orientation": "horizontal"} | {
                "showUnfilled": True,
                "valueMode": "color",
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}}


def _transformations(panel: Panel) -> list[Document]:
    """The queries' answers side by side, under their headings, without the time of asking."""
    values = [f"Value #{reference}" for reference, _ in zip(_REFERENCES, panel.queries, strict=False)]
    renamed = dict(zip(values if len(values) > 1 else ["Value"], panel.headings, strict=True))
    options = {"excludeByName": {"Time": True}, "renameByName": renamed, "indexByName": {}}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": options}]
