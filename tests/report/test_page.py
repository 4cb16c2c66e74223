"""workflow.html and workflow.json: what they hold, and that nothing in them comes from elsewhere."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlflow_workflow.report.charts import INDENT, arrows, charts, timeline
from mlflow_workflow.report.facts import Facts, SweepFacts, VariantFacts, to_json
from mlflow_workflow.report.page import page
from tests import in_process
from tests.conftest import Project
from tests.invented import facts, step, sweep

DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c", "a"), "e": ("d", "a")}


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def elements(found: Facts) -> Elements:
    return Elements(page(found))


# -- the page


def test_what_users_type_makes_no_elements() -> None:
    nasty = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    found = elements(
        facts(
            step("train", reason=nasty, parameters={nasty: nasty}, identity={"data": {nasty: nasty}}),
            description=nasty,
            headline=nasty,
            command=nasty,
        )
    )
    assert [tag for tag, _ in found.found].count("script") == 1
    assert "img" not in {tag for tag, _ in found.found}
    assert nasty in found.text


def test_the_page_loads_nothing() -> None:
    for tag, attributes in elements(sweep(9)).found:
        loads = {"src", "data", "srcset"} & set(attributes)
        assert not loads, (tag, attributes)
        assert tag != "link" or attributes["href"] == "data:,"
    assert "url(http" not in page(sweep(3))
    assert "@import" not in page(sweep(3))


def test_every_step_is_in_the_graph_with_state_time_and_reason() -> None:
    found = elements(
        facts(
            step("preprocess", "reused", user="ann", started=0.0, reason="same code"),
            step("train", upstream={"preprocess": "preprocess"}, reason="seed 0 → 1", seconds=61.0),
        )
    )
    graph = found.text[found.text.index("Steps") : found.text.index("When it ran")]
    made = "made by ann on 1970-01-01 00:00 UTC: same"
    for words in ("preprocess", "reused", made, "train", "ran", "seed 0 → 1", "61 s"):
        assert words in graph


def test_links_are_whole_only_where_the_server_is_known() -> None:
    found = step("train")
    links = [a for tag, a in elements(facts(found)).found if tag == "a"]
    assert links
    assert not any("href" in link for link in links)
    known = elements(facts(found, server="http://host:1/prefix"))
    links = [a for tag, a in known.found if tag == "a"]
    assert all(str(a["href"]).startswith("http://host:1/prefix/#/experiments/7/runs/") for a in links)


def test_a_step_shows_its_identity_and_what_changed() -> None:
    text = elements(
        facts(
            step(
                "train",
                nearest="b" * 32,
                differences=("seed 0 → 1", "steps/train.py changed"),
                identity={"parameters": {"seed": 1}, "environment": {"pandas": "3.1.1"}},
            )
        )
    ).text
    for words in ("since the nearest earlier run bbbbbbbb", "seed 0 → 1", "pandas", "3.1.1", "f" * 64):
        assert words in text


def test_a_sweep_is_drawn_as_one_box_a_step_and_a_chart_a_parameter() -> None:
    text = elements(sweep(9)).text
    assert "9 executions" in text
    assert "Leaderboard" in text
    assert [c.name for c in charts(sweep(9).sweep)] == ["seed"]  # type: ignore[arg-type]


def test_a_sweep_of_thousands_stays_small() -> None:
    assert len(page(sweep(3_000)).encode()) < 2_000_000


# -- the drawings


def test_arrows_end_at_the_box_that_reads_and_pass_behind_no_other() -> None:
    drawn = arrows(DIAMOND, height=40, gap=20)
    edges = [(above, name) for name, names in DIAMOND.items() for above in names]
    assert len(drawn) == len(edges)
    for path, (above, name) in zip(drawn, edges, strict=True):
        x, y, down, right = map(float, re.fullmatch(r"M(.*) (.*)V(.*)H(.*)", path).groups())  # type: ignore[union-attr]
        begin, end = list(DIAMOND).index(above), list(DIAMOND).index(name)
        assert (y, down, right) == (begin * 60 + 40, end * 60 + 20, end * INDENT)
        assert begin * INDENT < x < (begin + 1) * INDENT


def test_bars_are_where_and_as_long_as_the_steps_ran() -> None:
    bars = timeline(
        facts(
            step("b", started=1004.0, seconds=6.0),
            step("a", started=1000.0, seconds=4.0),
            step("reused", state="reused", started=10.0),
        )
    )
    assert [(b.node, b.left, b.width) for b in bars] == [("a", 0, 40), ("b", 40, 60)]


def test_a_chart_has_a_column_for_every_value_in_order_with_its_dots_and_mean() -> None:
    (chart,) = charts(seeds_and_models())
    assert [tick.text for tick in chart.x_ticks] == ["2", "10"]
    assert sorted({round(dot.x, 2) for dot in chart.dots}) == [0.25, 0.75]
    assert [mean.text for mean in chart.means] == ["mean 0.5", "mean 0.8"]
    assert all(0 < mark.y < 1 for mark in [*chart.dots, *chart.means, *chart.y_ticks])
    assert [tick.text for tick in chart.y_ticks] == ["0.4", "0.6", "0.8"]


def seeds_and_models() -> SweepFacts:
    values = [("10", 0.8), ("2", 0.6), ("2", 0.4), ("2", None)]
    made = [VariantFacts({"seed": seed, "model": "A"}, value, "done", {}) for seed, value in values]
    return SweepFacts("accuracy", False, made)


# -- workflow.json


def fits(value: object, kind: object) -> bool:
    """Is a JSON value of the type that the facts declare?"""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in arguments)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        known = typing.get_type_hints(kind)
        return (
            isinstance(value, dict)
            and set(value) == set(known)
            and all(fits(value[name], known[name]) for name in known)
        )
    if origin in (Mapping, dict):
        return isinstance(value, dict) and all(fits(v, arguments[1]) for v in value.values())
    if origin is Sequence:
        return isinstance(value, list) and all(fits(v, arguments[0]) for v in value)
    whole = {float: (int, float), typing.Any: object}.get(kind, kind)  # type: ignore[call-overload]
    return isinstance(value, whole)


def test_every_field_of_the_schema_is_described() -> None:
    source = "\n".join(
        str(kind.__doc__) for kind in [Facts, *referred(Facts)] if dataclasses.is_dataclass(kind)
    )
    plain = {"step", "reason", "parameters", "metrics", "warning", "failure", "task", "description"}
    plain |= {"steps", "sweep", "code", "commit", "dirty", "url", "schema", "value", "combination"}
    plain |= {"variants", "metric"}
    for kind in [Facts, *referred(Facts)]:
        for field in dataclasses.fields(kind):
            assert field.name in plain or re.search(rf"\b{field.name}\b", source), field.name


def referred(kind: type) -> list[type]:
    """The dataclasses that a dataclass's fields hold."""
    found: list[type] = []
    for hint in typing.get_type_hints(kind).values():
        for each in (hint, *typing.get_args(hint)):
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                found += [each, *referred(each)]
    return found


@pytest.mark.parametrize("found", [facts(step("train")), sweep(3)], ids=["one", "sweep"])
def test_workflow_json_has_the_schema_of_the_facts(found: Facts) -> None:
    assert fits(json.loads(to_json(found)), Facts)


def test_a_run_leaves_the_page_the_json_the_description_and_the_metrics(example: Project) -> None:
    nasty = "<b>bold</b> | *x*"
    done = in_process.run(example, "join", "--description", nasty)
    assert done.code == 0, done.text
    again = in_process.run(example, "join", "--right.text", "other")
    assert again.code == 0, again.text
    second, first = example.parents()[:2]
    artifacts = {a.path for a in example.client.list_artifacts(first.info.run_id)}
    assert {"workflow.html", "workflow.json"} <= artifacts
    written = json.loads(read(example, second.info.run_id, "workflow.json"))
    assert fits(written, Facts)
    assert written["headline"].startswith("join · 2 ran, 2 reused · saved ")
    assert [first.info.run_name, second.info.run_name] == ["join · 4 ran", "join · 2 of 4 ran"]
    by_name = {found["node"]: found for found in written["steps"]}
    assert by_name["right"]["differences"] == ["text plain → other"]
    assert by_name["right"]["nearest"] == example.children("right")[1].info.run_id
    assert by_name["left"]["started"] == example.children("left")[0].info.start_time / 1000
    assert by_name["left"]["user"] == example.children("left")[0].data.tags["mlflow.user"]
    assert by_name["join"]["identity"]["upstream"]["left"] == by_name["left"]["digest"][:12]
    assert "&lt;b&gt;bold" in read(example, first.info.run_id, "workflow.html")
    assert "## &lt;b&gt;bold&lt;/b&gt; &#124; \\*x\\*" in first.data.tags["mlflow.note.content"]
    assert second.data.metrics["join.total"] == first.data.metrics["join.total"]
    saved = sum(s["seconds"] for s in written["steps"] if s["state"] == "reused")
    assert second.data.metrics["workflow.saved_seconds"] == pytest.approx(saved, abs=0.01)
    assert second.data.params["left.factor"] == "2"
    experiment = example.client.get_experiment("0")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_sweep_ends_with_its_leaderboard_and_its_best_on_the_parent(example: Project) -> None:
    sweep_text = "{factor: [1, 3], text: [plain, other]}"
    done = in_process.run(example, "join", "--sweep", sweep_text, "--metric", "-total")
    assert done.code == 0, done.text
    assert done.line("total").split() == ["total", "factor", "text", "run", "state"]
    (parent,) = example.parents()
    board = read(example, parent.info.run_id, "leaderboard.txt").split("\n")[2:]
    assert [line.split()[1] for line in board] == ["1", "1", "3", "3"]
    assert parent.data.params["best.factor"] == "1"
    assert parent.info.run_name == "join · sweep of 4"
    assert parent.data.metrics["join.total"] == float(board[0].split()[0])


def read(project: Project, run_id: str, name: str) -> str:
    root = project.client.get_run(run_id).info.artifact_uri.removeprefix("file://")
    return (Path(root) / name).read_text(encoding="utf-8")
