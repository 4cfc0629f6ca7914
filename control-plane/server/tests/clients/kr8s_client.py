"""kr8s: objects that refresh, patch, label and wait for themselves."""

import anyio
import kr8s
import kr8s.asyncio
from kr8s.asyncio.objects import new_class as async_class
from kr8s.objects import Event, Namespace, new_class

from support import API_VERSION, NAMESPACE, case, condition, driver, labelled, main, order, same

Order = new_class("Order", version=API_VERSION, asyncio=False)
Driver = new_class("Driver", version=API_VERSION, asyncio=False)
Lease = new_class("Lease", version="coordination.k8s.io/v1", asyncio=False)


def names(objects):
    return [item.name for item in objects]


def refused(code, reason, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kr8s.ServerError as error:
        same((error.response.status_code, error.status["kind"], error.status["reason"]), (code, "Status", reason))
        return error
    raise AssertionError("it was not refused")


@case
def objects_are_made_read_changed_and_deleted():
    o1 = Order(order("o1"), namespace=NAMESPACE)
    assert not o1.exists()
    o1.create()
    assert o1.exists() and o1.metadata.uid
    same(o1.status.phase, "Pending")
    o1.patch({"spec": {"priority": 4}})
    same((o1.spec.priority, o1.metadata.generation), (4, 2))
    o1.patch([{"op": "replace", "path": "/spec/priority", "value": 5}], type="json")
    o1.label(tier="gold")
    o1.annotate({"example.com/note": "hello"})
    o1.remove_label("tier")
    same((o1.spec.priority, dict(o1.labels), o1.annotations["example.com/note"]), (5, {}, "hello"))
    o1.patch({"status": {"conditions": [condition("Unassignable")]}}, subresource="status")
    assert any(c.type == "Unassignable" for c in o1.status.conditions)
    other = Order.get("o1", namespace=NAMESPACE)
    same((other, other.raw.to_dict()), (o1, o1.raw.to_dict()))
    other.delete()
    try:
        o1.refresh()
        raise AssertionError("a deleted order was read")
    except kr8s.NotFoundError:
        pass
    assert not o1.exists()


@case
def refusals_carry_the_status_of_the_server():
    o1 = Order(order("o1"), namespace=NAMESPACE)
    o1.create()
    again = refused(409, "AlreadyExists", Order(order("o1"), namespace=NAMESPACE).create)
    same(again.status["message"], 'orders.dropmate.dev "o1" already exists')
    invalid = refused(422, "Invalid", o1.patch, {"spec": {"priority": "high"}})
    same(invalid.status["details"]["causes"][0]["field"], "spec.priority")
    refused(422, "Invalid", o1.patch, [{"op": "test", "path": "/spec/priority", "value": 9}], type="json")
    refused(404, "NotFound", Order(order("o2"), namespace="nowhere").create)


@case
def kinds_are_found_by_any_of_their_names():
    Driver(driver("sam"), namespace=NAMESPACE).create()
    for name in ["drivers", "driver", "drv", "Driver", "drivers.dropmate.dev", "drivers.v1.dropmate.dev"]:
        same(names(kr8s.get(name, namespace=NAMESPACE)), ["sam"])
    api = kr8s.api()
    same(api.version()["major"], "1")
    kinds = {(r["kind"], r["name"]) for r in api.api_resources()}
    assert {("Order", "orders"), ("Namespace", "namespaces"), ("Lease", "leases")} <= kinds, kinds
    assert "dropmate.dev/v1" in list(api.api_versions())
    same({crd.spec.names.kind for crd in kr8s.get("customresourcedefinitions")}, {"Order", "Driver", "Depot", "DispatchPolicy", "ApplySet", "Member", "NotificationPolicy", "Webhook"})


@case
def lists_follow_pages_and_selectors():
    for number in range(120):
        Order(labelled(order(f"o{number:03}"), half=str(number % 2)), namespace=NAMESPACE).create()
    # kr8s asks for a hundred at a time.
    same(names(kr8s.get("orders", namespace=NAMESPACE)), [f"o{number:03}" for number in range(120)])
    same(len(list(kr8s.get("orders", namespace=kr8s.ALL, label_selector={"half": "1"}))), 60)
    same(names(kr8s.get("orders", "o007", "o009", namespace=NAMESPACE)), ["o007", "o009"])
    same(names(Order.list(namespace=NAMESPACE, field_selector={"metadata.name": "o003"})), ["o003"])
    same(Order.get(namespace=NAMESPACE, field_selector="metadata.name=o004").name, "o004")
    try:
        Order.get("nobody", namespace=NAMESPACE)
        raise AssertionError("nobody was found")
    except kr8s.NotFoundError:
        pass


@case
def a_watch_tells_what_changes_and_resumes():
    async def run():
        AsyncOrder = async_class("Order", version=API_VERSION)
        api = await kr8s.asyncio.api()
        seen, changes = [], []

        async def change():
            o1 = await AsyncOrder(order("o1"), namespace=NAMESPACE)
            await o1.create()
            await o1.patch({"spec": {"priority": 1}})
            await o1.delete()

        with anyio.fail_after(30):
            await (await AsyncOrder(order("o0"), namespace=NAMESPACE)).create()
            async with anyio.create_task_group() as tasks:
                async for type_, item in api.watch("orders", namespace=NAMESPACE):
                    seen.append((type_, item.name))
                    changes.append(item.metadata.resourceVersion)
                    if len(seen) == 1:
                        tasks.start_soon(change)
                    if len(seen) == 4:
                        break
            same(seen, [("ADDED", "o0"), ("ADDED", "o1"), ("MODIFIED", "o1"), ("DELETED", "o1")])
            resumed = []
            async for type_, item in api.watch("orders", namespace=NAMESPACE, since=changes[1]):
                resumed.append((type_, item.name))
                if len(resumed) == 2:
                    break
            same(resumed, seen[2:])

    anyio.run(run)


@case
def objects_wait_for_conditions_and_for_their_end():
    async def run():
        AsyncOrder = async_class("Order", version=API_VERSION)
        o1 = await AsyncOrder(order("o1"), namespace=NAMESPACE)
        await o1.create()

        async def change():
            other = await AsyncOrder.get("o1", namespace=NAMESPACE)
            await other.patch({"status": {"conditions": [condition("Unassignable")]}}, subresource="status")
            await anyio.sleep(0.2)
            await other.patch({"spec": {"cancelled": True}})
            await anyio.sleep(0.2)
            await other.delete()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            await o1.wait("condition=Unassignable", timeout=20)
            await o1.wait("jsonpath='{.status.phase}'=Cancelled", timeout=20)
            await o1.wait("delete", timeout=20)
        assert not await o1.exists()

    anyio.run(run)


@case
def owners_finalizers_and_core_kinds_work_together():
    acme = Namespace({"metadata": {"name": "acme"}})
    acme.create()
    same(acme.raw.status.phase, "Active")
    sam = Driver(driver("sam"), namespace="acme")
    sam.create()
    o1 = Order(order("o1"), namespace="acme")
    o1.create()
    sam.adopt(o1)
    same((o1.metadata.ownerReferences[0].name, o1.metadata.ownerReferences[0].uid), ("sam", sam.metadata.uid))
    o1.patch({"metadata": {"finalizers": ["example.com/hold"], "ownerReferences": None}})
    o1.delete(propagation_policy="Background")
    o1.refresh()
    assert o1.metadata.deletionTimestamp
    o1.patch({"metadata": {"finalizers": None}})
    assert not o1.exists()
    lease = Lease({"metadata": {"name": "l1"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}, namespace="acme")
    lease.create()
    same(next(iter(kr8s.get("leases", namespace="acme"))).spec.holderIdentity, "me")
    about = {"apiVersion": API_VERSION, "kind": "Driver", "name": "sam", "namespace": "acme"}
    Event({"metadata": {"name": "e1"}, "involvedObject": about, "reason": "Met", "message": "hello", "type": "Normal"}, namespace="acme").create()
    same([event.raw.get("message", event.raw.get("note")) for event in kr8s.get("events", namespace="acme", field_selector="involvedObject.name=sam")], ["hello"])
    acme.delete()
    acme.wait("delete", timeout=30)
    same(list(kr8s.get("drivers", namespace=kr8s.ALL)), [])


main()
