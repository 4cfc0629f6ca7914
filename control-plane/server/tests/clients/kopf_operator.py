"""kopf: a real operator (`kopf run`) at our kinds, with finalizers, progress and resumption."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from support import GROUP, NAMESPACE, VERSION, case, driver, labelled, main, order, same, until

FINALIZER = "example.com/careful"
MERGE = {"_content_type": "application/merge-patch+json"}


class Operator:
    """`kopf run` with a file that its handlers write to."""

    def __init__(self, *flags):
        config.load_kube_config()
        self.api = client.CustomObjectsApi()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.flags = flags or ("--namespace", NAMESPACE)

    def records(self, name):
        """What the handlers did with an object."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "record").read_text().splitlines()
            return [line.split()[0] for line in lines if line.split()[1] == name]
        return []

    def log(self):
        return (self.folder / "log").read_text()

    @contextlib.contextmanager
    def running(self):
        command = [sys.executable, "-m", "kopf", "run", "--standalone", "--verbose", *self.flags, "kopf_handlers.py"]
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command,
                cwd=pathlib.Path(__file__).parent,
                env=os.environ | {"RECORD": str(self.folder / "record")},
                stdout=log,
                stderr=log,
            )
        try:
            yield self
            assert process.poll() is None, "the operator ended by itself"
        except BaseException:
            print(self.log()[-8000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def create(self, plural, body, namespace=NAMESPACE):
        return self.api.create_namespaced_custom_object(GROUP, VERSION, namespace, plural, body)

    def get(self, plural, name, namespace=NAMESPACE):
        return self.api.get_namespaced_custom_object(GROUP, VERSION, namespace, plural, name)

    def patch(self, plural, name, body, namespace=NAMESPACE):
        return self.api.patch_namespaced_custom_object(GROUP, VERSION, namespace, plural, name, body, **MERGE)

    def delete(self, plural, name, namespace=NAMESPACE):
        return self.api.delete_namespaced_custom_object(GROUP, VERSION, namespace, plural, name)

    def gone(self, plural, name, namespace=NAMESPACE):
        try:
            self.get(plural, name, namespace)
            return False
        except ApiException as error:
            same(error.status, 404)
            return True


@case
def an_operator_handles_creation_changes_and_deletion_with_its_finalizer():
    with Operator().running() as operator:
        operator.create("orders", order("o1"))
        until(lambda: operator.records("o1") == ["created"], "the order is handled")
        # Patches of the status went by its own path, which alone may write it.
        reasons = lambda: [c["reason"] for c in operator.get("orders", "o1")["status"]["conditions"]]
        until(lambda: "Checked" in reasons(), "the status is written")
        held = operator.get("orders", "o1")
        same((held["metadata"]["finalizers"], held["metadata"]["labels"]), ([FINALIZER], {"checked": "yes"}))
        same(held["metadata"]["generation"], 1)
        operator.patch("orders", "o1", {"spec": {"priority": 7}})
        until(lambda: operator.records("o1") == ["created", "priority:0->7"], "the change is handled")
        core = client.CoreV1Api()
        about = "involvedObject.name=o1,reason=Checked"
        until(lambda: core.list_namespaced_event(NAMESPACE, field_selector=about).items, "the event is there")
        same(core.list_namespaced_event(NAMESPACE, field_selector=about).items[0].message, "looks fine")
        same(operator.delete("orders", "o1")["kind"], "Order")
        until(lambda: operator.gone("orders", "o1"), "the order goes")
        same(operator.records("o1"), ["created", "priority:0->7", "deleted"])
        assert "inconsistencies" not in operator.log(), operator.log()


@case
def an_operator_that_was_away_resumes_with_what_it_missed():
    operator = Operator()
    with operator.running():
        for name in ["kept", "changed", "deleted"]:
            operator.create("orders", order(name))
        for name in ["kept", "changed", "deleted"]:
            until(lambda: "checked" in operator.get("orders", name)["metadata"].get("labels", {}), f"{name} is handled")
    operator.patch("orders", "changed", {"spec": {"priority": 3}})
    operator.delete("orders", "deleted")
    operator.create("orders", order("new"))
    assert not operator.gone("orders", "deleted"), "the finalizer holds it while nobody is there"
    with operator.running():
        until(lambda: operator.gone("orders", "deleted"), "the deletion is made good")
        until(lambda: "created" in operator.records("new"), "the new one is found")
        until(lambda: "resumed" in operator.records("kept"), "the old one is met again")
        until(lambda: "priority:0->3" in operator.records("changed"), "the change is found")
        same(operator.records("deleted"), ["created", "deleted"])
        same(operator.records("kept"), ["created", "resumed"])


@case
def a_handler_that_fails_is_tried_again_and_its_progress_is_kept():
    with Operator().running() as operator:
        operator.create("drivers", driver("sam"))
        until(lambda: operator.get("drivers", "sam")["spec"].get("skills") == ["checked"], "the third try succeeds")
        same(operator.records("sam"), ["try:0", "try:1", "try:2"])
        left = lambda: [k for k in operator.get("drivers", "sam")["metadata"]["annotations"] if "driver_created" in k]
        until(lambda: not left(), "the notes of the progress are cleared")


@case
def events_timers_and_daemons_follow_objects():
    with Operator().running() as operator:
        operator.create("drivers", labelled(driver("ada"), followed="yes", timed="yes", tended="yes"))
        until(lambda: operator.records("ada").count("tick") >= 3, "the timer ticks")
        until(lambda: "tending" in operator.records("ada"), "the daemon starts")
        # Over several ends of the watch nothing is missed.
        for number in range(4):
            operator.patch("drivers", "ada", {"spec": {"displayName": f"Ada {number}"}})
            until(lambda: operator.records("ada").count("tick") >= 4 * number, "time passes")
        until(lambda: operator.records("ada").count("seen:MODIFIED") >= 4, "changes are seen")
        operator.delete("drivers", "ada")
        until(lambda: operator.gone("drivers", "ada"), "the driver goes")
        until(lambda: "seen:DELETED" in operator.records("ada"), "the end is seen")
        same(operator.records("ada").count("left"), 1)


@case
def an_operator_of_all_namespaces_finds_those_that_come():
    with Operator("--all-namespaces").running() as operator:
        operator.create("orders", order("here"))
        until(lambda: "created" in operator.records("here"), "the first is handled")
        core = client.CoreV1Api()
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="acme")))
        operator.create("orders", order("there"), "acme")
        until(lambda: "created" in operator.records("there"), "an order in a new namespace is handled")
        core.delete_namespace("acme")
        until(lambda: operator.gone("orders", "there", "acme"), "the namespace is emptied")
        same(operator.records("there"), ["created", "deleted"])
    # The same for namespaces by a pattern, which kopf finds by watching namespaces.
    by_pattern = Operator("--namespace", "shop-*")
    with by_pattern.running():
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="shop-1")))
        by_pattern.create("orders", order("inside"), "shop-1")
        until(lambda: "created" in by_pattern.records("inside"), "the namespace is found")
        same(by_pattern.records("here"), [])


main()
