"""The Python client of Kubernetes: typed, custom and dynamic objects, watches, and its own tools."""

import datetime
import json
import threading
import time
import uuid

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from support import API_VERSION, GROUP, NAMESPACE, VERSION, case, condition, driver, labelled, main, order, same, until

ORDERS = (GROUP, VERSION, NAMESPACE, "orders")
DRIVERS = (GROUP, VERSION, NAMESPACE, "drivers")


def objects():
    config.load_kube_config()
    return client.CustomObjectsApi()


def refused(code, reason, call, *args, **kwargs):
    """The Status of a refusal."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        status = json.loads(error.body)
        same((error.status, status["kind"], status["code"], status["reason"]), (code, "Status", code, reason))
        return status
    raise AssertionError(f"{call.__name__} was not refused")


@case
def objects_are_made_read_changed_and_deleted():
    api = objects()
    made = api.create_namespaced_custom_object(*ORDERS, order("o1"))
    same(made["metadata"]["generation"], 1)
    same(api.get_namespaced_custom_object(*ORDERS, "o1"), made)
    made["spec"]["priority"] = 2
    replaced = api.replace_namespaced_custom_object(*ORDERS, "o1", made)
    same((replaced["metadata"]["generation"], replaced["spec"]["priority"]), (2, 2))
    same([item["metadata"]["name"] for item in api.list_namespaced_custom_object(*ORDERS)["items"]], ["o1"])
    same(len(api.list_cluster_custom_object(GROUP, VERSION, "orders")["items"]), 1)
    gone = api.delete_namespaced_custom_object(*ORDERS, "o1")
    same((gone["kind"], gone["status"], gone["details"]["uid"]), ("Status", "Success", made["metadata"]["uid"]))
    refused(404, "NotFound", api.get_namespaced_custom_object, *ORDERS, "o1")


@case
def every_form_of_patch_is_taken():
    api = objects()
    api.create_namespaced_custom_object(*ORDERS, order("o1"))
    patch = api.patch_namespaced_custom_object
    merged = patch(*ORDERS, "o1", {"spec": {"priority": 1}}, _content_type="application/merge-patch+json")
    same(merged["spec"]["priority"], 1)
    operations = [
        {"op": "test", "path": "/spec/priority", "value": 1},
        {"op": "add", "path": "/metadata/labels", "value": {"tier": "gold"}},
        {"op": "replace", "path": "/spec/priority", "value": 3},
    ]
    patched = patch(*ORDERS, "o1", operations, _content_type="application/json-patch+json")
    same((patched["spec"]["priority"], patched["metadata"]["labels"]), (3, {"tier": "gold"}))
    refused(422, "Invalid", patch, *ORDERS, "o1", operations, _content_type="application/json-patch+json")
    wanted = {"apiVersion": API_VERSION, "kind": "Order", "metadata": {"name": "o1"}, "spec": {"priority": 5}}
    apply = {"_content_type": "application/apply-patch+yaml", "field_manager": "me"}
    conflict = refused(409, "Conflict", patch, *ORDERS, "o1", wanted, **apply)
    same(conflict["details"]["causes"][0]["field"], ".spec.priority")
    applied = patch(*ORDERS, "o1", wanted, force=True, **apply)
    same(applied["spec"]["priority"], 5)
    assert [m for m in applied["metadata"]["managedFields"] if m["manager"] == "me" and m["operation"] == "Apply"]
    status = api.patch_namespaced_custom_object_status(
        *ORDERS, "o1", {"status": {"conditions": [condition("Unassignable")]}}, _content_type="application/merge-patch+json"
    )
    assert any(c["type"] == "Unassignable" for c in status["status"]["conditions"])
    same(api.get_namespaced_custom_object_status(*ORDERS, "o1"), status)
    status["status"]["conditions"] = [c for c in status["status"]["conditions"] if c["type"] != "Unassignable"]
    status["spec"]["priority"] = 9
    replaced = api.replace_namespaced_custom_object_status(*ORDERS, "o1", status)
    same(replaced["spec"]["priority"], 5)
    assert not any(c["type"] == "Unassignable" for c in replaced["status"].get("conditions", []))
    strategic = refused(415, "UnsupportedMediaType", patch, *ORDERS, "o1", {}, _content_type="application/strategic-merge-patch+json")
    assert "application/apply-patch+yaml" in strategic["message"]


@case
def refusals_carry_a_status_with_reason_and_causes():
    api = objects()
    made = api.create_namespaced_custom_object(*ORDERS, order("o1"))
    missing = refused(404, "NotFound", api.get_namespaced_custom_object, *ORDERS, "nobody")
    same(missing["details"], {"name": "nobody", "group": GROUP, "kind": "orders"})
    refused(404, "NotFound", api.create_namespaced_custom_object, GROUP, VERSION, "nowhere", "orders", order("o1"))
    refused(409, "AlreadyExists", api.create_namespaced_custom_object, *ORDERS, order("o1"))
    api.patch_namespaced_custom_object(*ORDERS, "o1", {"spec": {"priority": 1}}, _content_type="application/merge-patch+json")
    refused(409, "Conflict", api.replace_namespaced_custom_object, *ORDERS, "o1", made)
    wrong = order("o2", priority="high")
    wrong["spec"]["dropoff"]["location"]["latitude"] = 91
    invalid = refused(422, "Invalid", api.create_namespaced_custom_object, *ORDERS, wrong)
    fields = sorted(cause["field"] for cause in invalid["details"]["causes"])
    same(fields, ["spec.dropoff.location.latitude", "spec.priority"])
    unknown = order("o3", bogus=1)
    strict = refused(400, "BadRequest", api.create_namespaced_custom_object, *ORDERS, unknown, field_validation="Strict")
    assert 'unknown field "spec.bogus"' in strict["message"], strict
    refused(400, "BadRequest", api.list_namespaced_custom_object, *ORDERS, field_selector="spec.priority=1")
    refused(400, "BadRequest", api.list_namespaced_custom_object, *ORDERS, label_selector="a in b")


@case
def deletes_heed_preconditions_and_dry_runs_write_nothing():
    api = objects()
    same(api.create_namespaced_custom_object(*ORDERS, order("o1"), dry_run="All")["status"]["phase"], "Pending")
    refused(404, "NotFound", api.get_namespaced_custom_object, *ORDERS, "o1")
    made = api.create_namespaced_custom_object(*ORDERS, order("o1"))
    delete = api.delete_namespaced_custom_object
    other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=str(uuid.uuid4())))
    assert "does not match the UID in record" in refused(409, "Conflict", delete, *ORDERS, "o1", body=other)["message"]
    stale = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version="1"))
    refused(409, "Conflict", delete, *ORDERS, "o1", body=stale)
    delete(*ORDERS, "o1", dry_run="All")
    same(api.get_namespaced_custom_object(*ORDERS, "o1"), made)
    right = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=made["metadata"]["uid"]), propagation_policy="Background")
    same(delete(*ORDERS, "o1", body=right)["status"], "Success")
    for number in range(6):
        api.create_namespaced_custom_object(*ORDERS, labelled(order(f"o{number}"), half=str(number % 2)))
    api.delete_collection_namespaced_custom_object(*ORDERS, label_selector="half=1", dry_run="All")
    same(len(api.list_namespaced_custom_object(*ORDERS)["items"]), 6)
    api.delete_collection_namespaced_custom_object(*ORDERS, label_selector="half=1")
    left = [item["metadata"]["name"] for item in api.list_namespaced_custom_object(*ORDERS)["items"]]
    same(left, ["o0", "o2", "o4"])


@case
def a_list_is_read_page_by_page_and_by_selectors():
    api = objects()
    for number in range(7):
        body = labelled(order(f"o{number}"), half=str(number % 2))
        body["spec"]["driverName"] = "sam" if number < 3 else "ada"
        api.create_namespaced_custom_object(*ORDERS, body)
    names, token, versions, remaining = [], None, set(), []
    while token != "":
        page = api.list_namespaced_custom_object(*ORDERS, limit=3, **({"_continue": token} if token else {}))
        names += [item["metadata"]["name"] for item in page["items"]]
        versions.add(page["metadata"]["resourceVersion"])
        remaining.append(page["metadata"].get("remainingItemCount"))
        token = page["metadata"]["continue"]
    same((names, len(versions), remaining), ([f"o{n}" for n in range(7)], 1, [4, 1, None]))

    def found(**selectors):
        items = api.list_namespaced_custom_object(*ORDERS, **selectors)["items"]
        return [item["metadata"]["name"] for item in items]

    same(found(label_selector="half in (1,2)"), ["o1", "o3", "o5"])
    same(found(label_selector="half notin (1)"), ["o0", "o2", "o4", "o6"])
    same(found(label_selector="half,!tier,half!=0"), ["o1", "o3", "o5"])
    same(found(field_selector="spec.driverName=sam,metadata.name!=o1"), ["o0", "o2"])
    same(found(field_selector="status.phase=Delivered"), [])


@case
def a_watch_tells_every_change_once_and_goes_on_where_it_ended():
    api = objects()
    api.create_namespaced_custom_object(*ORDERS, order("o1"))
    version = api.list_namespaced_custom_object(*ORDERS)["metadata"]["resourceVersion"]
    api.create_namespaced_custom_object(*ORDERS, order("o2"))
    merge = {"_content_type": "application/merge-patch+json"}
    api.patch_namespaced_custom_object(*ORDERS, "o1", {"spec": {"priority": 1}}, **merge)
    api.delete_namespaced_custom_object(*ORDERS, "o2")

    def follow(since, count):
        watcher, seen = watch.Watch(), []
        for event in watcher.stream(api.list_namespaced_custom_object, *ORDERS, resource_version=since, timeout_seconds=20):
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            if len(seen) == count:
                watcher.stop()
        return seen, event["object"]["metadata"]["resourceVersion"]

    changes = [("ADDED", "o2"), ("MODIFIED", "o1"), ("DELETED", "o2")]
    same(follow(version, 3)[0], changes)
    first, middle = follow(version, 1)
    same(first + follow(middle, 2)[0], changes)
    # From nothing: the state first.
    same(follow(None, 1)[0], [("ADDED", "o1")])
    api.create_namespaced_custom_object(*ORDERS, labelled(order("o3"), tier="gold"))
    selected = watch.Watch()
    for event in selected.stream(api.list_namespaced_custom_object, *ORDERS, label_selector="tier=gold", timeout_seconds=20):
        if event["type"] == "ADDED":
            api.patch_namespaced_custom_object(*ORDERS, "o3", {"metadata": {"labels": {"tier": "tin"}}}, **merge)
        else:
            same((event["type"], event["object"]["metadata"]["labels"]), ("DELETED", {"tier": "gold"}))
            selected.stop()


@case
def a_watch_that_takes_bookmarks_gets_one_before_its_end():
    api = objects()
    api.create_namespaced_custom_object(*ORDERS, order("o1"))
    watcher, types, begun = watch.Watch(), [], time.monotonic()
    for event in watcher.stream(api.list_namespaced_custom_object, *ORDERS, allow_watch_bookmarks=True, timeout_seconds=3):
        types.append(event["type"])
        if event["type"] == "BOOKMARK":
            same((event["object"]["kind"], event["object"]["apiVersion"]), ("Order", API_VERSION))
            same(watcher.resource_version, event["object"]["metadata"]["resourceVersion"])
    same(types, ["ADDED", "BOOKMARK"])
    assert 2 < time.monotonic() - begun < 10, "the watch ends when it was asked to"


@case
def a_watch_of_history_that_is_gone_is_410_and_so_is_a_list():
    api = objects()
    try:
        for event in watch.Watch().stream(api.list_namespaced_custom_object, *ORDERS, resource_version="1", timeout_seconds=20):
            raise AssertionError(event)
        raise AssertionError("the watch ended in silence")
    except ApiException as error:
        same((error.status, error.reason.split(":")[0]), (410, "Expired"))
    exact = {"resource_version": "1", "resource_version_match": "Exact"}
    refused(410, "Expired", api.list_namespaced_custom_object, *ORDERS, **exact)


@case
def typed_objects_of_the_core_groups_are_read_and_written():
    config.load_kube_config()
    core, events, leases = client.CoreV1Api(), client.EventsV1Api(), client.CoordinationV1Api()
    made = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="acme", labels={"team": "a"})))
    same((made.status.phase, made.spec.finalizers), ("Active", ["kubernetes"]))
    # The typed client sends a strategic merge patch unless told otherwise.
    patched = core.patch_namespace("acme", {"metadata": {"labels": {"team": "b"}, "finalizers": ["example.com/a"]}})
    same((patched.metadata.labels["team"], patched.metadata.finalizers), ("b", ["example.com/a"]))
    core.patch_namespace("acme", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}})
    same([ns.metadata.name for ns in core.list_namespace(label_selector="team=b").items], ["acme"])
    about = client.V1ObjectReference(api_version=API_VERSION, kind="Order", name="o1", namespace="acme")
    body = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name="o1-"),
        involved_object=about,
        reason="Planned",
        message="for sam",
        type="Normal",
        event_time=datetime.datetime.now(datetime.timezone.utc),
    )
    core.create_namespaced_event("acme", body)
    found = core.list_namespaced_event("acme", field_selector="involvedObject.name=o1,reason=Planned").items
    same([event.message for event in found], ["for sam"])
    same([event.note for event in events.list_namespaced_event("acme", field_selector="regarding.name=o1").items], ["for sam"])
    spec = client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15)
    lease = leases.create_namespaced_lease("acme", client.V1Lease(metadata=client.V1ObjectMeta(name="mine"), spec=spec))
    lease.spec.holder_identity = "you"
    same(leases.replace_namespaced_lease("mine", "acme", lease).spec.holder_identity, "you")
    refused(409, "Conflict", leases.replace_namespaced_lease, "mine", "acme", lease)
    leases.delete_collection_namespaced_lease("acme")
    same(leases.list_lease_for_all_namespaces(field_selector="metadata.namespace=acme").items, [])
    watcher = watch.Watch()
    going = core.delete_namespace("acme", body=client.V1DeleteOptions())
    assert going is not None
    for event in watcher.stream(core.list_namespace, timeout_seconds=30):
        if event["object"].metadata.name == "acme" and event["type"] == "DELETED":
            watcher.stop()
    refused(404, "NotFound", core.read_namespace, "acme")


@case
def what_is_served_is_told_by_discovery_and_definitions():
    config.load_kube_config()
    same(client.VersionApi().get_code().major, "1")
    groups = {group.name for group in client.ApisApi().get_api_versions().groups}
    assert {GROUP, "events.k8s.io", "coordination.k8s.io", "apiextensions.k8s.io"} <= groups, groups
    same(client.CoreApi().get_api_versions().versions, ["v1"])
    resources = {r.name: r for r in client.CustomObjectsApi().get_api_resources(GROUP, VERSION).resources}
    same((resources["orders"].short_names, resources["orders/status"].singular_name), (["ord"], ""))
    definitions = client.ApiextensionsV1Api()
    listed = definitions.list_custom_resource_definition().items
    same({item.spec.names.kind for item in listed}, {"Order", "Driver", "Depot", "DispatchPolicy", "ApplySet", "Member", "NotificationPolicy", "Webhook"})
    one = definitions.read_custom_resource_definition("orders.dropmate.dev")
    established = {c.type: c.status for c in one.status.conditions}
    same((established, one.status.stored_versions), ({"Established": "True", "NamesAccepted": "True"}, ["v1"]))
    assert "spec" in one.spec.versions[0].schema.open_apiv3_schema.properties
    refused(405, "MethodNotAllowed", definitions.delete_custom_resource_definition, "orders.dropmate.dev")
    watcher, seen = watch.Watch(), set()
    for event in watcher.stream(definitions.list_custom_resource_definition, timeout_seconds=20):
        seen.add((event["type"], event["object"].metadata.name))
        if len(seen) == 4:
            watcher.stop()
    assert ("ADDED", "drivers.dropmate.dev") in seen, seen


@case
def the_dynamic_client_finds_kinds_and_works_with_them():
    api = dynamic.DynamicClient(config.new_client_from_config())
    drivers = api.resources.get(api_version=API_VERSION, kind="Driver")
    same((drivers.name, drivers.namespaced, api.resources.get(short_names=["drv"]).kind), ("drivers", True, "Driver"))
    made = drivers.create(body=driver("sam"), namespace=NAMESPACE)
    same(made.spec.displayName, "Sam")
    patched = drivers.patch(
        body={"spec": {"suspended": True}}, name="sam", namespace=NAMESPACE, content_type="application/merge-patch+json"
    )
    same(patched.spec.suspended, True)
    try:
        drivers.replace(body=made, namespace=NAMESPACE)
        raise AssertionError("a stale replace went in")
    except ConflictError as error:
        same(json.loads(error.body)["reason"], "Conflict")
    applied = drivers.server_side_apply(
        body=driver("ada"), name="ada", namespace=NAMESPACE, field_manager="me", force_conflicts=True
    )
    same(applied.metadata.managedFields[0].manager, "me")
    same([item.metadata.name for item in drivers.get(namespace=NAMESPACE).items], ["ada", "sam"])
    watcher, types = watch.Watch(), []
    for event in drivers.watch(
        namespace=NAMESPACE,
        timeout=20,
        watcher=watcher,
        allow_watch_bookmarks=True,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        resource_version=0,
    ):
        types.append(event["type"])
        if event["type"] == "BOOKMARK":
            same(event["raw_object"]["metadata"]["annotations"], {"k8s.io/initial-events-end": "true"})
            watcher.stop()
    same(types, ["ADDED", "ADDED", "BOOKMARK"])
    drivers.delete(name="ada", namespace=NAMESPACE)
    drivers.delete(namespace=NAMESPACE, label_selector="nobody=1")
    try:
        drivers.get(name="ada", namespace=NAMESPACE)
        raise AssertionError("a deleted driver is there")
    except NotFoundError:
        pass
    same(drivers.get(name="sam", namespace=NAMESPACE).metadata.name, "sam")


@case
def forms_other_than_json_are_given_to_who_asks():
    api = objects()
    api.create_namespaced_custom_object(*ORDERS, order("o1"))
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/orders"

    def ask(accept, path=path):
        request = api.api_client.param_serialize("GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"])
        response = api.api_client.call_api(*request)
        return response.getheader("content-type"), response.read()

    kind, body = ask(table)
    rows = json.loads(body)
    same((kind, rows["kind"], rows["rows"][0]["cells"][:2]), ("application/json", "Table", ["o1", "Pending"]))
    # Text that readers of YAML 1.1 would take for something else comes back as text.
    notes = {"a": "yes", "b": "1:30", "c": "2026-11-23", "d": "012", "e": "~", "f": "x: y\n- z", "g": "", "h": " lead", "i": "é\u2028"}
    merge = {"_content_type": "application/merge-patch+json"}
    api.patch_namespaced_custom_object(*ORDERS, "o1", {"metadata": {"annotations": notes}}, **merge)
    kind, body = ask("application/yaml")
    listed = api.list_namespaced_custom_object(*ORDERS)
    same((kind, yaml.safe_load(body)), ("application/yaml", listed))
    kind, body = ask("application/json;q=0.5,application/yaml;as=Table;v=v1;g=meta.k8s.io")
    same((kind, yaml.safe_load(body)["kind"]), ("application/yaml", "Table"))
    kind, body = ask("application/yaml", path + "/nobody")
    same((kind, yaml.safe_load(body)["reason"]), ("application/yaml", "NotFound"))
    for document in ["/apis", "/api/v1", "/apis/dropmate.dev"]:
        same(ask("application/yaml", document)[0], "application/yaml")
    same(json.loads(ask("application/yaml", path + "?watch=true&timeoutSeconds=1")[1])["code"], 406)
    same(ask("application/json", path + "?pretty=true")[1][:4], b'{\n  ')
    same(json.loads(ask("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")[1])["kind"], "PartialObjectMetadataList")


@case
def a_manifest_of_several_documents_is_made():
    config.load_kube_config()
    documents = [driver("sam"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acme"}}, order("o1")]
    for body in documents[:1] + documents[2:]:
        body["metadata"]["namespace"] = NAMESPACE
    utils.create_from_yaml(client.ApiClient(), yaml_objects=[documents[1]])
    made = dynamic.DynamicClient(client.ApiClient())
    for body in (documents[0], documents[2]):
        made.resources.get(api_version=API_VERSION, kind=body["kind"]).create(body=body)
    same(client.CoreV1Api().read_namespace("acme").metadata.name, "acme")
    try:
        utils.create_from_yaml(client.ApiClient(), yaml_objects=[documents[1]])
        raise AssertionError("a namespace was made twice")
    except utils.FailToCreateError as error:
        assert "AlreadyExists" in str(error), error


@case
def a_leader_is_elected_by_a_lease():
    config.load_kube_config()
    led, lost = threading.Event(), threading.Event()

    def lead():
        led.set()

    lock = LeaseLock("leader", NAMESPACE, "candidate-1")
    elected = electionconfig.Config(
        lock, lease_duration=4, renew_deadline=3, retry_period=1, onstarted_leading=lead, onstopped_leading=lost.set
    )
    threading.Thread(target=leaderelection.LeaderElection(elected).run, daemon=True).start()
    assert led.wait(20), "nobody leads"
    read = client.CoordinationV1Api().read_namespaced_lease
    same(read("leader", NAMESPACE).spec.holder_identity, "candidate-1")
    renewed = read("leader", NAMESPACE).spec.renew_time
    until(lambda: read("leader", NAMESPACE).spec.renew_time != renewed, "the leader renews its lease")
    assert not lost.is_set()


main()
