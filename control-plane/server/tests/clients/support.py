"""What the scripts share: cases to run by name, objects to write, and a few checks."""

import sys
import time
import traceback

GROUP, VERSION = "dropmate.dev", "v1"
API_VERSION = f"{GROUP}/{VERSION}"
NAMESPACE = "default"
# How long anything that the server or an operator does by itself may take.
PATIENCE_SECONDS = 30

CASES = {}


def case(function):
    """Marks a function as a case; the test runs it by its name in a process and with a server of its own."""
    CASES[function.__name__] = function
    return function


def main():
    """Runs the case that is named, or lists all of them."""
    name = sys.argv[1]
    if name == "--list":
        print("\n".join(CASES))
        return
    try:
        CASES[name]()
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def order(name, **spec):
    body = {
        "apiVersion": API_VERSION,
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {
            "pickup": {"address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596}},
            "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.6405, "longitude": -79.3760}},
            "recipient": {"name": "Ada"},
        },
    }
    body["spec"].update(spec)
    return body


def driver(name, **spec):
    body = {
        "apiVersion": API_VERSION,
        "kind": "Driver",
        "metadata": {"name": name},
        "spec": {"displayName": name.capitalize(), "vehicle": {"type": "bicycle"}},
    }
    body["spec"].update(spec)
    return body


def labelled(body, **labels):
    body["metadata"]["labels"] = labels
    return body


def condition(type_, status="True"):
    return {
        "type": type_,
        "status": status,
        "reason": "Test",
        "message": "for the test",
        "lastTransitionTime": "2026-11-23T10:00:00Z",
    }


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def until(holds, what):
    """Waits for something that comes true by itself."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends, f"in {PATIENCE_SECONDS} s not: {what}"
        time.sleep(0.05)
