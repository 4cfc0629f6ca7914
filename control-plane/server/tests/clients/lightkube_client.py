"""lightkube: typed and generic resources, apply with a field manager, chunked lists, watches."""

import tempfile
import threading

import lightkube
from lightkube import ALL_NS, ApiError, Client, codecs
from lightkube.core.exceptions import ConditionError, ObjectDeleted
from lightkube.generic_resource import create_namespaced_resource, load_in_cluster_generic_resources
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.operators import exists, in_, not_equal, not_exists, not_in
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Event, Namespace
from lightkube.types import CascadeType, PatchType

from support import API_VERSION, GROUP, NAMESPACE, VERSION, case, condition, driver, labelled, main, order, same, until

Order = create_namespaced_resource(GROUP, VERSION, "Order", "orders")
Driver = create_namespaced_resource(GROUP, VERSION, "Driver", "drivers")


def names(objects):
    return [item.metadata.name for item in objects]


def version_of(client):
    """The version of the list of orders; lightkube knows it once it has begun to read."""
    listed = client.list(Order)
    list(listed)
    return listed.resourceVersion


def refused(code, reason, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiError as error:
        same((error.status.code, error.status.reason), (code, reason))
        return error.status
    raise AssertionError("it was not refused")


@case
def objects_are_made_read_changed_and_deleted():
    client = Client(field_manager="me")
    made = client.create(Order(order("o1")))
    same((made.metadata.generation, made.status["phase"]), (1, "Pending"))
    same(client.get(Order, "o1"), made)
    made["spec"]["priority"] = 1
    replaced = client.replace(made)
    same(replaced["spec"]["priority"], 1)
    merged = client.patch(Order, "o1", {"spec": {"priority": 2}}, patch_type=PatchType.MERGE)
    same(merged["spec"]["priority"], 2)
    operations = [{"op": "test", "path": "/spec/priority", "value": 2}, {"op": "replace", "path": "/spec/priority", "value": 3}]
    same(client.patch(Order, "o1", operations, patch_type=PatchType.JSON)["spec"]["priority"], 3)
    same(client.set(Order, "o1", labels={"tier": "gold"}).metadata.labels, {"tier": "gold"})
    assert client.set(Order, "o1", labels={"tier": None}).metadata.labels is None
    status = client.patch(Order.Status, "o1", {"status": {"conditions": [condition("Unassignable")]}}, patch_type=PatchType.MERGE)
    assert any(c["type"] == "Unassignable" for c in status["status"]["conditions"])
    same(client.get(Order.Status, "o1")["status"], status["status"])
    dry = client.patch(Order, "o1", {"spec": {"priority": 9}}, patch_type=PatchType.MERGE, dry_run=True)
    same((dry["spec"]["priority"], client.get(Order, "o1")["spec"]["priority"]), (9, 3))
    # The garbage collector lets it go, as it has no dependents.
    client.delete(Order, "o1", cascade=CascadeType.FOREGROUND)
    until(lambda: names(client.list(Order)) == [], "the order goes")
    refused(404, "NotFound", client.get, Order, "o1")


@case
def apply_owns_fields_and_tells_conflicts():
    mine, yours = Client(field_manager="mine"), Client(field_manager="yours")
    made = mine.apply(Driver(driver("sam")))
    same(made.metadata.managedFields[0].manager, "mine")
    same(mine.apply(Driver(driver("sam"))).metadata.resourceVersion, made.metadata.resourceVersion)
    other = Driver(driver("sam", displayName="Samuel"))
    conflict = refused(409, "Conflict", yours.apply, other)
    same((conflict.details.causes[0].field, conflict.details.causes[0].reason), (".spec.displayName", "FieldManagerConflict"))
    same(yours.apply(other, force=True)["spec"]["displayName"], "Samuel")
    status = {"apiVersion": API_VERSION, "kind": "Driver", "metadata": {"name": "sam"}, "status": {"activeOrders": 2}}
    same(yours.apply(Driver.Status(status))["status"]["activeOrders"], 2)
    # Who leaves a field out that nobody else owns takes it away.
    mine.apply(Driver(driver("ada", timeZone="UTC")))
    assert "timeZone" not in mine.apply(Driver(driver("ada")))["spec"]


@case
def refusals_carry_the_status_of_the_server():
    client = Client()
    client.create(Order(order("o1")))
    same(refused(409, "AlreadyExists", client.create, Order(order("o1"))).message, 'orders.dropmate.dev "o1" already exists')
    invalid = refused(422, "Invalid", client.create, Order(order("o2", priority="high")))
    same(invalid.details.causes[0].field, "spec.priority")
    refused(404, "NotFound", client.create, Order(order("o1")), namespace="nowhere")
    stale = client.get(Order, "o1")
    client.patch(Order, "o1", {"spec": {"priority": 1}}, patch_type=PatchType.MERGE)
    refused(409, "Conflict", client.replace, stale)
    refused(415, "UnsupportedMediaType", client.patch, Order, "o1", {}, patch_type=PatchType.STRATEGIC)


@case
def lists_come_in_chunks_and_by_selectors():
    client = Client()
    for number in range(7):
        client.create(Order(labelled(order(f"o{number}"), half=str(number % 2))))
    listed = client.list(Order, chunk_size=3)
    same(names(listed), [f"o{number}" for number in range(7)])
    assert int(listed.resourceVersion) > 0
    same(names(client.list(Order, namespace=ALL_NS, labels={"half": "1"})), ["o1", "o3", "o5"])
    same(names(client.list(Order, labels={"half": in_(["1", "2"]), "tier": not_exists()})), ["o1", "o3", "o5"])
    same(names(client.list(Order, labels={"half": not_in(["1"])})), ["o0", "o2", "o4", "o6"])
    same(names(client.list(Order, labels={"half": exists()}, fields={"metadata.name": not_equal("o0")}))[0], "o1")
    client.deletecollection(Order)
    same(names(client.list(Order)), [])


@case
def a_watch_tells_what_changes_and_resumes():
    client = Client()
    client.create(Order(order("o0")))
    version = version_of(client)
    client.create(Order(order("o1")))
    client.patch(Order, "o1", {"spec": {"priority": 1}}, patch_type=PatchType.MERGE)
    client.delete(Order, "o1")
    expected = [("ADDED", "o1"), ("MODIFIED", "o1"), ("DELETED", "o1")]
    seen = []
    for type_, item in client.watch(Order, resource_version=version, server_timeout=20):
        seen.append((type_, item.metadata.name, item.metadata.resourceVersion))
        if len(seen) == 3:
            break
    same([entry[:2] for entry in seen], expected)
    resumed = []
    for type_, item in client.watch(Order, resource_version=seen[0][2], server_timeout=20):
        resumed.append((type_, item.metadata.name))
        if len(resumed) == 2:
            break
    same(resumed, expected[1:])
    # The server ends a watch when it was asked to; the client opens the next one, which begins with nothing missed.
    quiet = threading.Timer(2.5, lambda: Client().create(Order(order("o2"))))
    quiet.start()
    for type_, item in client.watch(Order, resource_version=version_of(client), server_timeout=1):
        same((type_, item.metadata.name), ("ADDED", "o2"))
        break


@case
def a_watch_of_history_that_is_gone_is_410():
    try:
        for event in Client().watch(Order, resource_version="1", server_timeout=10):
            raise AssertionError(event)
        raise AssertionError("the watch ended in silence")
    except ApiError as error:
        same((error.status.code, error.status.reason), (410, "Expired"))


@case
def clients_wait_for_conditions_and_hear_of_failures():
    client = Client()
    for name in ["o1", "o2", "o3"]:
        client.create(Order(order(name)))

    def fail(name):
        Client().patch(Order.Status, name, {"status": {"conditions": [condition("Unassignable")]}}, patch_type=PatchType.MERGE)

    def soon(act, *args):
        # Enough for the wait to begin; also if it begins later the outcome is the same, but for a deletion.
        threading.Timer(1, act, args).start()

    soon(fail, "o1")
    same(client.wait(Order, "o1", for_conditions=["Unassignable"]).metadata.name, "o1")
    soon(fail, "o2")
    try:
        client.wait(Order, "o2", for_conditions=["Held"], raise_for_conditions=["Unassignable"])
        raise AssertionError("a failure was waited out")
    except ConditionError as error:
        same(error.messages, ["for the test"])
    soon(client.delete, Order, "o3")
    try:
        client.wait(Order, "o3", for_conditions=["Held"])
        raise AssertionError("a deleted order was waited for")
    except ObjectDeleted as error:
        same(error.name, "orders/o3")


@case
def kinds_are_loaded_from_the_definitions_that_are_served():
    client = Client()
    same(set(names(client.list(CustomResourceDefinition))), {f"{plural}.{GROUP}" for plural in ["orders", "drivers", "depots", "dispatchpolicies", "members", "applysets", "notificationpolicies", "webhooks"]})
    load_in_cluster_generic_resources(client)
    depot = lightkube.generic_resource.get_generic_resource(API_VERSION, "Depot")
    body = {"apiVersion": API_VERSION, "kind": "Depot", "metadata": {"name": "mill"}}
    body["spec"] = {"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.36}}
    client.create(depot(body))
    same(client.get(depot, "mill")["spec"]["address"], "12 Mill St")
    manifest = codecs.dump_all_yaml([Namespace(metadata=ObjectMeta(name="acme")), depot(body | {"metadata": {"name": "quay", "namespace": "acme"}})])
    with tempfile.TemporaryFile("w+") as file:
        file.write(manifest)
        file.seek(0)
        for item in codecs.load_all_yaml(file):
            client.apply(item, field_manager="me")
    same(names(client.list(depot, namespace=ALL_NS)), ["quay", "mill"])
    same(refused(405, "MethodNotAllowed", client.delete, CustomResourceDefinition, "orders.dropmate.dev").status, "Failure")


@case
def typed_objects_of_the_core_groups_are_read_and_written():
    client = Client(field_manager="me")
    acme = client.create(Namespace(metadata=ObjectMeta(name="acme")))
    same((acme.status.phase, acme.spec.finalizers), ("Active", ["kubernetes"]))
    patched = client.patch(Namespace, "acme", {"metadata": {"labels": {"team": "a"}}})
    same(patched.metadata.labels["team"], "a")
    lease = client.create(Lease(metadata=ObjectMeta(name="l1", namespace="acme"), spec={"holderIdentity": "me"}))
    same(client.get(Lease, "l1", namespace="acme").spec.holderIdentity, lease.spec.holderIdentity)
    about = ObjectReference(apiVersion=API_VERSION, kind="Order", name="o1", namespace="acme")
    client.create(Event(about, ObjectMeta(generateName="o1-", namespace="acme"), message="hello", reason="Met", type="Normal"))
    found = client.list(Event, namespace="acme", fields={"involvedObject.name": "o1"})
    same([event.message for event in found], ["hello"])
    client.delete(Namespace, "acme")
    for type_, item in client.watch(Namespace, fields={"metadata.name": "acme"}, server_timeout=30):
        if type_ == "DELETED":
            break
    refused(404, "NotFound", client.get, Namespace, "acme")


main()
