import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilia_workers.report.page import render, write_page
from consilia_workers.report.results import RefusedResult
from consilia_workers.report.wording import printable

VOID = {"meta", "link", "br", "hr", "img", "input"}
LOADING = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "ping"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in order; keeps what tests ask about."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.ids, self.text = [], set(), [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def assert_self_contained(html):
    page = Page(html)
    assert not page.tags & {"script", "iframe", "object", "embed", "img", "form", "base"}
    loaded = [value for name, value in page.attributes if name.rpartition(":")[2] in LOADING]
    assert all(value == "data:," or value.startswith("#") for value in loaded)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    return page


def svgs(html):
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)]


def test_the_page_holds_every_hospital_and_metric_with_its_figures(make):
    report = make.report([make.seed(1)])
    words = Page(render(report)).words
    assert all(hospital in words for hospital in report.hospitals)
    assert all(metric in words for metric in ("AUC", "Loss", "Alone", "Federated", "Pooled", "Gain over alone"))
    for way in ("federated", "alone", "pooled"):
        for metrics in getattr(report.seeds[0], way).values():
            assert f"{metrics['auc']:.3f}" in words


def test_the_page_asks_for_nothing_and_runs_nothing(make):
    page = assert_self_contained(render(make.report([make.seed(seed) for seed in range(5)])))
    assert "http" not in "".join(value or "" for _, value in page.attributes)


def test_the_figures_are_well_formed_and_say_what_they_show(make):
    html = render(make.report([make.seed(1)]))
    figures = [svg for svg in svgs(html) if svg.get("role") == "img"]
    assert len(figures) == 7  # convergence and comparison wide and narrow, the second metric, time, bytes
    assert all(len(svg.get("aria-label")) > 40 for svg in figures)


def test_ids_are_unique_and_every_reference_has_its_target(make):
    page = Page(render(make.report([make.seed(1), make.seed(2)])))
    assert len(page.ids) == len(set(page.ids))
    named = [value for name, value in page.attributes if name == "aria-labelledby"]
    linked = [value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")]
    clipped = re.findall(r"url\(#([^)]+)\)", str(page.attributes))
    assert set(named + linked + clipped) <= set(page.ids)
    assert clipped
    assert linked


def test_figures_take_their_colours_from_the_page(make):
    html = render(make.report([make.seed(seed) for seed in range(2)]))
    figures = re.findall(r'<svg[^>]*role="img".*?</svg>', html, flags=re.DOTALL)
    assert figures
    colours = {colour for figure in figures for colour in re.findall(r"(?:fill|stroke|color): ([^;\"]+)", figure)}
    assert {colour for colour in colours if not colour.startswith("var(--")} <= {"none"}
    used = {name for figure in figures for name in re.findall(r"var\((--[a-z]+)\)", figure)}
    assert all(html.count(f"{name}: #") == 2 for name in used)  # once for light, once for dark


def luminance(colour):
    """WCAG 2.2's relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_page(make, scheme):
    light, dark = re.findall(r":root \{(.*?)\}", render(make.report([make.seed(1)])), flags=re.DOTALL)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    paper = luminance(colours["paper"])
    needed = dict.fromkeys(("ink", "faint", "good", "bad"), 4.5)
    needed |= dict.fromkeys(("alone", "federated", "pooled", "train", "aggregate", "rest"), 3.0)
    for name, least in needed.items():
        low, high = sorted((luminance(colours[name]), paper))
        assert (high + 0.05) / (low + 0.05) >= least, name


def test_every_table_has_headings_with_scope(make):
    page = Page(render(make.report([make.seed(1)])))
    scopes = [value for name, value in page.attributes if name == "scope"]
    assert {"row", "col"} == set(scopes)


def test_the_same_report_gives_the_same_bytes(make, tmp_path):
    report = make.report([make.seed(1), make.seed(2)])
    report.save(tmp_path / "report.json")
    write_page(type(report).load(tmp_path / "report.json"), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == render(report)


HOSTILE = [
    "<script>alert(1)</script>",
    "</svg></style><img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "$\\frac{a}{b}$ & $",
    "{{ 7 * 7 }}{% raw %}",
    "a\x00b\x1b[31m\u202etxt",
    "`<b>`",
    "医院 🏥",
    "--><!--",
    "h" * 300,
]


def test_hostile_text_is_shown_as_text_wherever_it_stands(make):
    refused = RefusedResult(hospital=HOSTILE[0], reason=HOSTILE[1], message=HOSTILE[2])
    rounds = [make.round(1, {HOSTILE[0]: {HOSTILE[1]: 0.5}}, refused=[refused])]
    values = {name: {HOSTILE[1]: 0.5, HOSTILE[2]: 0.1} for name in HOSTILE}
    seed = make.seed(1, HOSTILE, rounds=rounds, federated=values, alone=values, pooled=values, model_digest=HOSTILE[0])
    text = dict.fromkeys(("job", "dataset", "entrypoint", "strategy", "started", "consilia_version"), HOSTILE[1])
    spec = {HOSTILE[0]: HOSTILE}
    report = make.report([seed], HOSTILE, metrics=HOSTILE[1:3], spec=spec, **text)
    page = assert_self_contained(render(report))
    assert all(" ".join(printable(name).split()) in page.words for name in HOSTILE)


def test_a_figure_shows_a_name_as_it_is_even_one_that_looks_like_a_formula(make):
    names = ["$x^2$", "a & <b>"]
    figures = svgs(render(make.report([make.seed(1, names)], names)))
    labels = {text for figure in figures for text in figure.itertext()}
    assert set(names) <= labels


def test_a_hostile_reason_for_failing_is_shown_as_text(make):
    seed = make.failed_seed(1, rounds=0).model_copy(update={"reason": HOSTILE[0], "message": HOSTILE[1]})
    page = assert_self_contained(render(make.report([seed])))
    assert f"The training failed ({HOSTILE[0]}: {HOSTILE[1]})." in page.words


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=80), metric=st.text(min_size=1, max_size=80))
def test_any_name_gives_a_well_formed_page(make, name, metric):
    values = {name: {metric: 0.5}}
    seed = make.seed(1, rounds=[make.round(1, values)], federated=values, alone=None, pooled=None)
    html = render(make.report([seed], [name], job=name, metrics=[metric]))
    assert_self_contained(html)
    assert svgs(html)


def test_an_undefined_metric_is_a_dash_and_the_reason_is_given(make):
    parts = {way: {"a": {"auc": 0.9}, "b": {}} for way in ("federated", "alone", "pooled")}
    words = Page(render(make.report([make.seed(1, **parts)], ["a", "b"], metrics=["auc"]))).words
    assert "b — — — — —" in words
    assert "b has test patients on whom it is not defined; it is not part of the mean." in words
    assert "On the test patients of 1 of the 2 hospitals" in words


def test_a_metric_that_nobody_could_compute_leaves_a_page_without_its_figures(make):
    report = make.report([make.seed(1)], metrics=["auc", "sensitivity"])
    words = Page(render(report)).words
    assert "Sensitivity: mean — federated" in words


def test_a_failed_run_says_why_and_shows_what_there_is(make):
    html = render(make.report([make.failed_seed(1, rounds=4)]))
    words = Page(html).words
    assert "The training failed (QuorumLost: lakeview and hilltop are missing)." in words
    assert "How the model learned" in words
    assert "What it is worth to each hospital" not in words


def test_a_run_that_never_began_still_has_a_page(make):
    words = assert_self_contained(render(make.report([make.failed_seed(1, rounds=0)]))).words
    assert "No round was completed." in words
    assert "Time and traffic" not in words


@pytest.mark.parametrize("changes", [{"seeds": []}, {"metrics": []}])
def test_a_report_without_seeds_or_metrics_still_has_a_page(make, changes):
    assert_self_contained(render(make.report([make.seed(1)]).model_copy(update=changes)))


def test_some_failed_seeds_are_told_apart_from_all(make):
    report = make.report([make.failed_seed(1, rounds=2), make.seed(2), make.seed(3)])
    words = Page(render(report)).words
    assert "Partly failed" in words
    assert "1 of 3 trainings failed" in words
    assert "over 2 seeds" in words


@pytest.mark.parametrize(
    ("seeds", "present", "absent"),
    [(1, "One seed only", "standard deviation"), (5, "standard deviation between 5 seeds", "One seed only")],
)
def test_one_seed_is_said_to_be_one_and_several_show_their_spread(make, seeds, present, absent):
    words = Page(render(make.report([make.seed(seed) for seed in range(seeds)]))).words
    assert present in words
    assert absent not in words
    assert ("±" in words) == (seeds > 1)


@pytest.mark.parametrize(
    ("spec", "unprotected", "unhidden"),
    [
        ({}, True, True),
        ({"privacy": {"epsilon": "1"}}, False, True),
        ({"secureAggregation": {"mode": "None"}}, True, True),
        ({"privacy": {"epsilon": "1"}, "secureAggregation": {"mode": "Masking"}}, False, False),
    ],
)
def test_the_page_says_what_did_not_protect_the_updates(make, spec, unprotected, unhidden):
    words = Page(render(make.report([make.seed(1)], spec=spec))).words
    assert ("not protected by differential privacy" in words) == unprotected
    assert ("saw each hospital's update by itself" in words) == unhidden


def test_the_summary_tells_gain_and_loss_by_hospital(make):
    values = {"federated": (0.80, 0.85), "alone": (0.70, 0.90), "pooled": (0.82, 0.91)}
    parts = {way: {"a": {"auc": a}, "b": {"auc": b}} for way, (a, b) in values.items()}
    words = Page(render(make.report([make.seed(1, **parts)], ["a", "b"]))).words
    assert "reaches a mean AUC of 0.825" in words
    assert "reaches 0.800: training together is better by 0.025" in words
    assert "better model than training alone at 1 of 2 hospitals, most of all at a (+0.100)" in words
    assert "It gave a worse one at b (\N{MINUS SIGN}0.050)" in words


def test_a_metric_that_disagrees_with_the_first_is_not_hidden(make):
    values = {"federated": (0.9, 0.5), "alone": (0.8, 0.4), "pooled": (0.9, 0.3)}
    parts = {way: {"a": {"auc": auc, "loss": loss}} for way, (auc, loss) in values.items()}
    words = Page(render(make.report([make.seed(1, **parts)], ["a"]))).words
    assert "training together is better by 0.100" in words
    assert "By loss it is worse by 0.100, against training alone." in words


def test_refused_messages_are_listed_and_a_flood_is_cut(make):
    refused = [RefusedResult(hospital="hilltop", reason="Stale", message=f"message {n}") for n in range(60)]
    rounds = [make.round(1, {}, refused=refused)]
    words = Page(render(make.report([make.seed(1, rounds=rounds)]))).words
    assert "message 49" in words
    assert "message 50" not in words
    assert "And 10 more, in report.json." in words
