"""The model registry: the model that stands for this invocation, under a name and an alias."""

import json

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.report.facts import Facts, StepFacts
from mlflow_workflow.report.highlights import shown_on_parent
from mlflow_workflow.server.store import Store

ALIAS = "candidate"
VERSIONS = "mlflow.modelVersions"


def register(store: Store, name: str, facts: Facts) -> str:
    """Gives the model the alias; a model that is registered already keeps its version. Says what it did.

    Raises:
        WorkflowError: there is no model, or more than one, or the registry refuses the name.
    """
    step, model = chosen(facts)
    try:
        known = version_of(store, name, model)
        found = known or new_version(store, name, step, model)
        version = str(found.version)
        store.ask(lambda: store.client.set_registered_model_alias(name, ALIAS, version))
    except MlflowException as error:
        raise WorkflowError(f"cannot register the model as {name!r}: {error.message}") from None
    how = "already is" if known else "is now"
    return f"model of {step.node} {how} version {version} of {name}: models:/{name}@{ALIAS}"


def chosen(facts: Facts) -> tuple[StepFacts, str]:
    """The one step that has a logged model, in a sweep that of the best combination; and the model."""
    found = [step for step in shown_on_parent(facts).values() if step.models]
    if not found:
        cure = "log one there, with mlflow.sklearn.log_model for example"
        raise WorkflowError(f"there is no model to register, since no step has logged one: {cure}")
    if len(found) > 1:
        which = ", ".join(step.node for step in found)
        cure = "take as task the step whose model you want, and a metric that tells which is best"
        raise WorkflowError(f"register wants one model, and there are those of {which}: {cure}")
    return found[0], found[0].models[-1]


def version_of(store: Store, name: str, model: str) -> ModelVersion | None:
    """The version that is this logged model, the oldest if several are."""
    # A name may hold what a filter cannot; that it is the right one is seen from the answer.
    query = f"source_path = 'models:/{model}'"
    versions = store.ask(lambda: store.client.search_model_versions(query))
    same = [v for v in versions if v.name == name]
    return min(same, key=lambda v: int(v.version), default=None)


def new_version(store: Store, name: str, step: StepFacts, model: str) -> ModelVersion:
    """Registers the model; of two orchestrators that do so at once, one takes its version back."""
    try:
        store.ask(lambda: store.client.create_registered_model(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = store.ask(
        lambda: store.client.create_model_version(
            name, f"models:/{model}", run_id=step.run_id, model_id=model
        )
    )
    first = version_of(store, name, model) or made
    if int(first.version) < int(made.version):
        store.ask(lambda: store.client.delete_model_version(name, str(made.version)))
    else:
        link(store, model, made)
    return first


def link(store: Store, model: str, version: ModelVersion) -> None:
    """Tells the logged model its version, which MLflow's list of models shows."""
    known = json.loads(store.ask(lambda: store.client.get_logged_model(model)).tags.get(VERSIONS, "[]"))
    versions = json.dumps([*known, {"name": version.name, "version": int(version.version)}])
    store.ask(lambda: store.client.set_logged_model_tags(model, {VERSIONS: versions}))
