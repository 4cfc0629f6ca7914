"""An operator for orders and drivers as kopf's users write them. What its handlers do they also write to a file."""

import os

import kopf

FINALIZER = "example.com/careful"


def record(what, name):
    with open(os.environ["RECORD"], "a", encoding="utf-8") as file:
        file.write(f"{what} {name}\n")


@kopf.on.startup()
def configure(settings, **_):
    settings.persistence.finalizer = FINALIZER
    # The schema of an order's status is not kopf's to extend.
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="example.com")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="example.com")
    # Watches end and begin anew while the tests run.
    settings.watching.server_timeout = 3
    settings.watching.reconnect_backoff = 0.1


@kopf.on.create("dropmate.dev", "v1", "orders")
def order_created(name, body, status, patch, **_):
    record("created", name)
    patch.metadata.labels["checked"] = "yes"
    # What others say of the order stays.
    patch.status["conditions"] = [
        *status["conditions"],
        {
            "type": "Unassignable",
            "status": "True",
            "reason": "Checked",
            "message": "by the operator",
            "lastTransitionTime": "2026-11-23T10:00:00Z",
        },
    ]
    kopf.info(body, reason="Checked", message="looks fine")


@kopf.on.update("dropmate.dev", "v1", "orders", field="spec.priority")
def priority_changed(name, old, new, **_):
    record(f"priority:{old}->{new}", name)


@kopf.on.resume("dropmate.dev", "v1", "orders")
def order_resumed(name, **_):
    record("resumed", name)


@kopf.on.delete("dropmate.dev", "v1", "orders")
def order_deleted(name, **_):
    record("deleted", name)


@kopf.on.create("drivers", retries=5)
def driver_created(name, retry, patch, **_):
    record(f"try:{retry}", name)
    if retry < 2:
        raise kopf.TemporaryError("not yet", delay=0.2)
    patch.spec["skills"] = ["checked"]


@kopf.on.event("drivers", labels={"followed": "yes"})
def driver_seen(name, type, **_):
    record(f"seen:{type}", name)


@kopf.timer("drivers", interval=0.3, labels={"timed": "yes"})
def tick(name, **_):
    record("tick", name)


@kopf.daemon("drivers", labels={"tended": "yes"}, cancellation_timeout=2)
async def tended(name, stopped, **_):
    record("tending", name)
    await stopped.wait()
    record("left", name)
