"""Earlier runs of a step, each found by one indexed query.

A run bears its fingerprints in the KEYS of tags. MLflow indexes tags by (key, run), so finding a run by
fingerprint costs the same among ten runs and among a million. While it is in progress the value of
such a tag is a claim, afterwards the step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow.entities import Run

from mlflow_workflow.basics.canonical import canonical
from mlflow_workflow.identity.fingerprint import Identity, fingerprint, near_keys, summary
from mlflow_workflow.server.earlier import Earlier, earlier
from mlflow_workflow.server.store import Store, fit_name
from mlflow_workflow.server.tags import (
    BANNED,
    FINGERPRINT,
    HELD,
    IDENTITY,
    NEAR,
    OUTPUTS,
    OWNER,
    PUBLISHED,
    RECENT,
    RECORD,
    UNUSABLE,
    WANTED,
)

CANDIDATES = 20
"""How many runs of one fingerprint are considered, newest first: of some the outputs may be damaged."""
RECENT_RUNS = 5

Identities = Mapping[str, Identity]
"""What counts as the code → the identity of one execution."""


@dataclass(frozen=True)
class Found:
    """The runs of one fingerprint: published ones newest first, those in progress, those deleted."""

    published: tuple[Earlier, ...] = ()
    in_progress: tuple[Run, ...] = ()
    deleted: tuple[str, ...] = ()


def key_of(mode: str, identity: Identity) -> str:
    """The key of the tag by which a run of this identity is found."""
    return f"{FINGERPRINT}.{mode}.{fingerprint(identity)}"


def find(store: Store, step: str, key: str) -> Found:
    """Who did, or is doing, what this key stands for."""
    every = store.search(f"tags.`{key}` LIKE '%'", CANDIDATES, deleted=True)
    runs = [run for run in every if run.info.lifecycle_stage == "active"]
    gone = (run for run in every if run.info.lifecycle_stage != "active")
    return Found(
        published=tuple(earlier(run) for run in runs if is_published(run, key, step)),
        in_progress=tuple(run for run in runs if is_claim(run, key)),
        deleted=tuple(run.info.run_id for run in gone if is_published(run, key, step)),
    )


def is_published(run: Run, key: str, step: str) -> bool:
    """Did it end well, and was it made reusable?"""
    return run.info.status == "FINISHED" and run.data.tags.get(key) == step


def is_claim(run: Run, key: str) -> bool:
    """Does somebody still have something to do with it? The owner's tag goes at the very end."""
    return OWNER in run.data.tags and run.data.tags.get(key) in (WANTED, HELD)


def is_any(store: Store, key: str) -> bool:
    """Is there a run that bears this tag?"""
    return bool(store.search(f"tags.`{key}` LIKE '%'", 1))


def find_near(store: Store, step: str, near_key: str) -> list[Earlier]:
    """The newest published runs that have all but one kind of ingredient in common."""
    key = f"{NEAR}.{near_key}"
    runs = store.search(f"tags.`{key}` LIKE '%'", CANDIDATES)
    return [earlier(run) for run in runs if is_published(run, key, step)]


def find_best(store: Store, step: str, metric: str, lowest: bool, most: int) -> list[Run]:
    """The published runs of a step that have a metric, best first."""
    # A step's name may hold a quote, which a filter cannot.
    tag = f"tags.`{PUBLISHED}` " + (f"= '{step}'" if "'" not in step else "LIKE '%'")
    order = f"metrics.`{fit_name(metric)}` {'ASC' if lowest else 'DESC'}"
    found = store.search(f"attributes.status = 'FINISHED' and {tag}", most, order)
    usable = [run for run in found if not {BANNED, UNUSABLE} & set(run.data.tags)]
    return [run for run in usable if metric in run.data.metrics]


def find_recent(store: Store, step: str) -> list[Earlier]:
    """The newest published runs of a step, a few: their ids are a tag of the experiment."""
    experiment = store.ask(lambda: store.client.get_experiment(store.experiment_id))
    ids = experiment.tags.get(recent_key(step), "").split()
    if not ids:
        return []
    known = ", ".join(f"'{run_id}'" for run_id in ids if run_id.isalnum())
    found = store.search(f"attributes.run_id IN ({known})", RECENT_RUNS)
    return [earlier(run) for run in found if run.data.tags.get(PUBLISHED) == step]


def add_recent(store: Store, step: str, made: Iterable[str]) -> None:
    """Remembers runs that were just made, newest first, among the newest of their step."""
    known = [each.run_id for each in find_recent(store, step)]
    ids = list(dict.fromkeys([*made, *known]))[:RECENT_RUNS]
    store.tag_experiment(recent_key(step), " ".join(ids))


def recent_key(step: str) -> str:
    """The experiment's tag for a step."""
    return fit_name(f"{RECENT}.{step}")


def publish(store: Store, run_id: str, keys: Iterable[str], tags: Mapping[str, str], step: str) -> None:
    """Makes a run reusable: from this one transaction on, `find` finds it."""
    store.tag(run_id, {**tags, **dict.fromkeys(keys, step), PUBLISHED: step})


def published_tags(identities: Identities, outputs: str, record: str | None) -> dict[str, str]:
    """What a published run bears beside its keys: what it is made of, and what is near to it."""
    code, commit = identities["code"], identities["commit"]
    near = {*near_keys(code).values(), *(near_keys(each)["upstream"] for each in identities.values())}
    made_of = {**summary(code), "commit": summary(commit)["code"]}
    return {
        **{f"{NEAR}.{key}": code.step for key in near},
        IDENTITY: canonical(made_of),
        OUTPUTS: outputs,
        **({RECORD: record} if record else {}),
    }
