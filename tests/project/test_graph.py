"""MLproject read as a graph: what it declares, and what is refused with a sentence that helps."""

from dataclasses import replace

import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.graph import Step, Workflow
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.nodes import make_nodes
from mlflow_workflow.project.parameters import Values

DIAMOND = """
  gather: {parameters: {limit: {type: int, default: 3}}, command: python -m steps.gather}
  left: {parameters: {gather: path}, command: python steps/left.py}
  right: {parameters: {gather: path}, command: sh right.sh}
  join: {parameters: {left: path, right: path}, command: python ./join.py}
"""


def workflow(steps: str, main: str = "{task: {default: join}}") -> Workflow:
    return read_workflow(
        f"entry_points:\n  main: {{command: python main.py, parameters: {main}}}\n{steps}"
    )


def refusal(steps: str, main: str = "{task: {default: join}}") -> str:
    with pytest.raises(WorkflowError) as error:
        workflow(steps, main)
    return str(error.value)


def step(name: str, parameters: str = "{}", more: str = "") -> str:
    return f"  {name}: {{command: python x.py, parameters: {parameters}{more}}}\n"


def test_a_path_named_like_a_step_is_what_makes_the_graph() -> None:
    steps = workflow(DIAMOND).steps
    assert steps["join"].upstream == ("left", "right")
    assert steps["gather"].upstream == ()
    assert list(steps["gather"].own_parameters) == ["limit"]


def test_order_puts_every_step_after_what_it_reads_and_leaves_the_rest_out() -> None:
    order = workflow(DIAMOND).order("join")
    assert order[0] == "gather"
    assert sorted(order[1:3]) == ["left", "right"]
    assert order[3] == "join"
    assert workflow(DIAMOND).order("right") == ["gather", "right"]


def test_below_are_all_that_read_from_a_step_directly_or_not() -> None:
    assert workflow(DIAMOND).below({"left"}) == {"left", "join"}
    assert workflow(DIAMOND).below({"gather"}) == {"gather", "left", "right", "join"}


def test_a_default_is_the_text_that_mlflow_would_pass() -> None:
    given = "{a: {type: float, default: 0.5}, b: {type: bool, default: no}, c: {default: ''}, d: int}"
    parameters = workflow(step("one", given)).steps["one"].parameters
    assert {n: p.default for n, p in parameters.items()} == {
        "a": "0.5",
        "b": "False",
        "c": "",
        "d": None,
    }


def test_unknown_task_suggests_the_nearest_step() -> None:
    with pytest.raises(WorkflowError, match=r"unknown task 'jion'; did you mean 'join'\?"):
        workflow(DIAMOND).order("jion")


def test_unknown_task_near_to_nothing_lists_the_steps() -> None:
    with pytest.raises(WorkflowError, match="there is gather, join, left, right"):
        workflow(DIAMOND).order("zzz")


def test_a_cycle_is_named_step_by_step() -> None:
    said = refusal(step("a", "{c: path}") + step("b", "{a: path}") + step("c", "{b: path}"))
    assert "form a cycle" in said
    assert set(said.rpartition(": ")[2].split(" → ")) == {"a", "b", "c"}


def test_a_step_that_reads_from_itself_is_a_cycle() -> None:
    assert "a → a" in refusal(step("a", "{a: path}"))


@pytest.mark.parametrize("form", ["string", "{type: path, default: x}", "{type: uri}", "int"])
def test_a_parameter_named_like_a_step_in_another_form_is_refused_with_both_readings(form: str) -> None:
    said = refusal(step("a") + step("b", f"{{a: {form}}}"))
    assert "parameter 'a' of step 'b' is named like a step" in said
    assert "write that to receive the outputs of step 'a', or rename" in said


def test_an_unknown_type_suggests_the_nearest() -> None:
    said = refusal(step("a", "{x: strin}"))
    assert said == (
        "parameter 'x' of step 'a' in MLproject has the unknown type 'strin'; did you mean 'string'?"
    )


@pytest.mark.parametrize("steps", [step("seed"), step("a", "{seed: int}")])
def test_a_name_that_main_has_already_is_refused(steps: str) -> None:
    said = refusal(steps, main="{seed: {type: int, default: 0}}")
    assert "is a parameter of main too: rename it" in said


def test_a_parameter_named_help_is_refused_because_help_is_an_option_already() -> None:
    assert "'help'" in refusal(step("a", "{help: string}"))


@pytest.mark.parametrize("name", ["a.b", "a/b", "a:b", "'a\\b'", "yes", "1"])
def test_a_step_name_that_no_folder_or_dotted_name_can_hold_is_refused(name: str) -> None:
    assert "step name" in refusal(step(name))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("  a: {parameters: {}}", "entry point 'a' of MLproject has no command"),
        ("  a: nonsense", "entry point 'a' of MLproject has no command"),
        ("  a: {command: x, parameters: [seed]}", "parameters of step 'a' in MLproject"),
        ("  a: {command: x, sources: {b: c}}", "'sources' of step 'a' in MLproject must be a list"),
        ("  a: {command: x, timeout: soon}", "'timeout' of step 'a' in MLproject must be a number"),
        ("  a: {command: x, retries: -1}", "'retries' of step 'a' in MLproject must be a number"),
        ("  a: {command: x, retries: .inf}", "'retries' of step 'a' in MLproject must be a number"),
        ("  a: {command: x, retries: .nan}", "'retries' of step 'a' in MLproject must be a number"),
        ("  a: {command: x, timeout: .inf}", "'timeout' of step 'a' in MLproject must be a number"),
        ("  a: {command: x, timeout: .nan}", "'timeout' of step 'a' in MLproject must be a number"),
        ("  a: {command: x, sources: [/etc/*.conf]}", "'sources' of step 'a' in MLproject has '/etc/"),
        ("  a: {command: x, sources: ['']}", "'': name files in the project, such as steps/*.py"),
        ("  a: {command: x, sources: ['**.py']}", "** must stand alone between slashes"),
        ("  a: {command: x}\n  a: {command: y}", "names 'a' twice"),
        ("  a: {command: x, paramaters: {}}", "unknown key 'paramaters'; did you mean 'parameters'?"),
        ("  a: {command: x, source: b}", "step 'a' of MLproject has the unknown key 'source'; did you"),
        ("  a: {command: x, parameters: {n: {defualt: 1}}}", "unknown key 'defualt'; did you mean"),
        ("  a: {command: 'x {alhpa}', parameters: {alpha: int}}", "did you mean 'alpha'?"),
        ("  a: {command: 'x {}'}", "names {}, which is no parameter of it"),
        ("  a: {command: 'awk {print'}", "for a brace that is none of MLflow's write it twice"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named_with_what_it_lacks(broken: str, said: str) -> None:
    assert said in refusal(broken)


@pytest.mark.parametrize("text", ["", "name: x", "entry_points: [a]", "entry_points: {a: {command: x}}"])
def test_a_file_without_main_says_so(text: str) -> None:
    with pytest.raises(WorkflowError, match="declares no entry point 'main'"):
        read_workflow(text)


def test_a_file_that_is_no_yaml_is_named() -> None:
    with pytest.raises(WorkflowError, match="MLproject is not valid YAML"):
        read_workflow("entry_points: {")


@pytest.mark.parametrize("value", ["5", "[a]", "{a: b}"])
@pytest.mark.parametrize("key", ["python_env", "conda_env"])
def test_a_list_of_packages_that_is_no_file_name_is_refused(key: str, value: str) -> None:
    with pytest.raises(WorkflowError, match=f"'{key}' in MLproject must be the name of a file"):
        read_workflow(f"{key}: {value}\nentry_points: {{main: {{command: x}}}}")


def lattice(layers: int, wide: int = 10, edges: int = 3) -> Workflow:
    """Steps in layers, each of which reads several of the layer above; and one that reads the last."""

    def step(name: str, upstream: list[str]) -> str:
        read = ", ".join(f"{above}: path" for above in upstream)
        words = " ".join(f"{{{above}}}" for above in upstream)
        return f"  {name}: {{parameters: {{{read}}}, command: 'x {words}'}}\n"

    text = MAIN_OF_LATTICE
    for layer in range(layers):
        for place in range(wide):
            above = [f"s{layer - 1}x{(place + k) % wide}" for k in range(edges)] if layer else []
            text += step(f"s{layer}x{place}", above)
    return read_workflow(text + step("last", [f"s{layers - 1}x{place}" for place in range(wide)]))


MAIN_OF_LATTICE = "entry_points:\n  main: {command: x}\n"


def test_every_step_is_visited_once_however_many_ways_lead_to_it() -> None:
    visited: list[str] = []

    class Counting(dict[str, Step]):
        def __getitem__(self, name: str) -> Step:
            visited.append(name)
            return super().__getitem__(name)

    found = lattice(500)
    counted = replace(found, steps=Counting(found.steps))
    values: Values = {name: {} for name in found.steps}
    nodes = make_nodes(counted, "last", values, {}, ["s0x0"])
    assert len(nodes) == 5_001
    assert sum(bool(node.forced_reason) for node in nodes) > 4_900
    assert len(visited) < 6 * len(nodes)
