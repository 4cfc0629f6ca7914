"""What compose/faults does to a running stack, and what it measures. Python's standard library only.

A business with a steady load of orders, whose drivers report as phones do; beside it, observers who write down every
answer. Each fault is one row of the table: what was refused, for how long, and when bindings went on. The whole history
of the orders is watched from the first to the last, and judged at the end.
"""

import base64
import concurrent.futures
import contextlib
import datetime
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

PROJECT = os.environ["PROJECT"]
NAMESPACE = "faults"
ORDERS = f"/apis/dropmate.dev/v1/namespaces/{NAMESPACE}/orders"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases/dispatch"
LEASE_SECONDS = 15
DRIVERS = 40
# Between two orders: 2/s is a large town's evening, and leaves a small machine room for what is measured.
ORDER_EVERY = 0.5
PROBE_EVERY = 0.25
# As long as a patient client waits for an answer.
ANSWER_WITHIN = 10
# How long a part is paused: longer than every lease, ping and probe.
PAUSE = 25
# After a fault is over, its consequences are watched for this long at least, and at most.
CALM, CALM_AT_MOST = 10, 120
# How often the leader is stopped amid its writes until a fence refuses one.
FENCE_TRIES = 8
# What the leader gets of a processor meanwhile.
STARVED = "0.05"
# One order's way as its driver reports it.
REPORTS = ("depart", "arrive", "pickUp", "depart", "arrive", "deliver")

# Set when no more orders come in, and when everything ends.
closing, stopping = threading.Event(), threading.Event()


def now():
    """By this machine's clock, which the server's stamps are read by too."""
    return time.time()


def stamp():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text):
    """A stamp of the server as `now()` counts."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def docker(*args):
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True, timeout=120).stdout.strip()


# --- the API ---------------------------------------------------------------------------------------------------------


class Api:
    """The API through Caddy, as the operator."""

    def __init__(self):
        config = json.loads(subprocess.run(
            ["kubectl", "config", "view", "--raw", "-o", "json"], check=True, capture_output=True, timeout=30).stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.host = urllib.parse.urlsplit(cluster["server"]).netloc
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=ca)
        self.headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"}

    def open(self, method, path, body=None, timeout=ANSWER_WITHIN):
        """A connection of its own for every request: what one meets, another does not inherit."""
        connection = http.client.HTTPSConnection(self.host, context=self.tls, timeout=timeout)
        connection.request(method, path, json.dumps(body) if body is not None else None, self.headers)
        return connection, connection.getresponse()

    def ask(self, method, path, body=None):
        """The code and the answer; for no answer the kind of failure in place of the code."""
        try:
            connection, response = self.open(method, path, body)
            with contextlib.closing(connection):
                text = response.read()
            return str(response.status), json.loads(text) if text[:1] == b"{" else {}
        except TimeoutError:
            return "no answer", {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            return type(error).__name__, {}

    def must(self, method, path, body=None):
        """Until it is done: for what is not measured."""
        for _ in range(60):
            code, answer = self.ask(method, path, body)
            if code in ("200", "201", "409"):
                return answer
            time.sleep(1)
        raise SystemExit(f"faults: {method} {path} is answered with {code} {answer.get('message', '')}")


# --- load and observers ----------------------------------------------------------------------------------------------


class Seen:
    """What one observer saw: when a question was asked, how long the answer took, what it was."""

    def __init__(self, name):
        self.name, self.answers, self.lock = name, [], threading.Lock()

    def add(self, at, code):
        with self.lock:
            self.answers.append((at, now() - at, code))

    def between(self, begun, ended):
        with self.lock:
            return [seen for seen in self.answers if begun <= seen[0] <= ended]


def good(code):
    return code.startswith("2")


def every(seconds, work):
    """Does it at a steady pace until closing, each in a thread of its own: a slow answer delays nobody."""
    def loop():
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            due = time.monotonic()
            while not closing.wait(max(0.0, due - time.monotonic())):
                due += seconds
                pool.submit(work)
    threading.Thread(target=loop, daemon=True).start()


class Town:
    """The business: makes orders, and drives them to the door."""

    def __init__(self, api):
        self.api, self.created, self.delivered, self.refused = api, {}, set(), []
        self.writes, self.count, self.lock = Seen("writes"), 0, threading.Lock()
        api.must("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for number in range(DRIVERS):
            api.must("POST", ORDERS.replace("orders", "drivers"), {
                "apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": f"driver-{number:02}"},
                "spec": {"displayName": f"Driver {number}", "vehicle": {"type": "car"}, "capacity": {"orders": 8},
                         "startLocation": place(number)}})

    def order(self):
        """One more order. Its name is known before, so that an answer that was lost can be told from a write that was."""
        with self.lock:
            self.count += 1
            name = f"o-{self.count:05}"
        body = {"apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name}, "spec": {
            "pickup": {"address": "12 Mill St", "location": place(self.count)},
            "dropoff": {"address": "88 Queens Quay", "location": place(self.count + 17)},
            "recipient": {"name": "Ada"}, "readyAt": stamp()}}
        at = now()
        code, answer = self.api.ask("POST", ORDERS, body)
        self.writes.add(at, code)
        if good(code):
            with self.lock:
                self.created[name] = (answer["metadata"]["uid"], at)
        return name

    def drive(self, name, uid):
        """Reports as a phone: the same event again until it is answered, each at most once effective."""
        for step, kind in enumerate(REPORTS):
            body = {"clientEventId": f"{uid}-{step}", "type": kind, "occurredAt": stamp()}
            while not stopping.is_set():
                code, answer = self.api.ask("POST", f"{ORDERS}/{name}/progress", body)
                if good(code):
                    break
                # Before the start an order may be taken back; it is bound again later. Nothing else may be refused.
                if code.startswith("4") and code not in ("408", "429") and (step > 0 or code != "409"):
                    self.refused.append(f"{kind} of {name} was refused: {code} {answer.get('message', '')}")
                    return
                time.sleep(1)
        with self.lock:
            self.delivered.add(name)


def place(number):
    """Somewhere in a town of six kilometres."""
    return {"latitude": 43.64 + (number * 37 % 100) * 0.0005, "longitude": -79.40 + (number * 61 % 100) * 0.0005}


class History(threading.Thread):
    """Every state of every order, in the order of revisions: one watch, taken up where it ended."""

    def __init__(self, api, town):
        super().__init__(daemon=True)
        self.api, self.town, self.lock = api, town, threading.Lock()
        self.states, self.bound, self.seen, self.cuts, self.lost = [], {}, [], 0, []
        self.pool = concurrent.futures.ThreadPoolExecutor(64)
        self.version = api.must("GET", f"{ORDERS}?limit=1")["metadata"]["resourceVersion"]

    def run(self):
        while not stopping.is_set():
            try:
                query = f"?watch=true&allowWatchBookmarks=true&timeoutSeconds=600&resourceVersion={self.version}"
                # Longer than a bookmark takes to come: a stream that says nothing for longer is dead.
                connection, response = self.api.open("GET", ORDERS + query, timeout=75)
                with contextlib.closing(connection):
                    if response.status == 200:
                        for line in response:
                            self.take(json.loads(line))
            except (OSError, http.client.HTTPException, ValueError):
                pass
            self.cuts += 1
            stopping.wait(0.2)

    def take(self, event):
        order = event["object"]
        if event["type"] == "ERROR":
            self.lost.append((now(), order.get("message", "")))
            return
        self.version = order["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        name, status = order["metadata"]["name"], order.get("status", {})
        assignment = status.get("assignment", {})
        driver, generation = assignment.get("driverName"), assignment.get("generation", 0)
        with self.lock:
            self.seen.append(now())
            self.states.append((int(self.version), name, driver, generation))
            if driver and name not in self.bound:
                self.bound[name] = moment(assignment["boundAt"])
                self.pool.submit(self.town.drive, name, order["metadata"]["uid"])

    def bound_at(self, name):
        """When the server bound it, once the watch has told."""
        with self.lock:
            return self.bound.get(name)

    def silent(self, begun, ended):
        """The longest time in which the watch told nothing. Twice a second there is something to tell."""
        with self.lock:
            times = [begun, *(at for at in self.seen if begun <= at <= ended), ended]
        return max(later - earlier for earlier, later in zip(times, times[1:]))


# --- the stack -------------------------------------------------------------------------------------------------------


def containers(service):
    return docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}",
                  "--filter", f"label=com.docker.compose.service={service}").split()


def inspect(container, what):
    return docker("inspect", "--format", what, container)


def admin(container, path):
    """The admin port of a container, over the bridge: only this machine reaches it."""
    address = inspect(container, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}").split()
    try:
        connection = http.client.HTTPConnection(address[0], 7451, timeout=2)
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (OSError, IndexError, http.client.HTTPException):
        return ""


def leader():
    """The dispatch container that leads; waits for one."""
    for _ in range(240):
        for container in containers("dispatch"):
            if "dispatch ok: leads" in admin(container, "/readyz"):
                return container
        time.sleep(0.5)
    raise SystemExit("faults: no dispatch agent leads after two minutes")


def standby():
    leads = leader()
    return next(container for container in containers("dispatch") if container != leads)


def process(container):
    return int(inspect(container, "{{.State.Pid}}"))


def fenced():
    """How many writes the fences refused, by what the agents log: counters end with their process."""
    return sum(docker_logs(container).count("a write was refused because another dispatch agent leads")
               for container in containers("dispatch"))


def docker_logs(container):
    answer = subprocess.run(["docker", "logs", container], check=True, capture_output=True, text=True, timeout=60)
    return answer.stdout + answer.stderr


# --- faults ----------------------------------------------------------------------------------------------------------


def paused(container):
    docker("pause", container)
    time.sleep(PAUSE)
    docker("unpause", container)


def killed(container):
    """From the host: `docker kill` would tell the restart policy that somebody wanted it."""
    os.kill(process(container), signal.SIGKILL)


def cut(container):
    """Off the network for longer than a lease, and back, under the same names."""
    network = f"{PROJECT}_api"
    docker("network", "disconnect", network, container)
    time.sleep(LEASE_SECONDS + 10)
    docker("network", "connect", "--alias", "dispatch", "--alias", container[:12], network, container)


def stopped_amid_writes(town, history):
    """Stops the leader with bindings on their way, until a fence refuses one that it goes on with.

    Rare: an agent that wakes up and finds its lease run out begins nothing. Only what it was in the middle of sending
    comes too late; so it gets little of the processor meanwhile, and is nearly always in the middle of something.
    """
    before, tries = fenced(), 0
    while fenced() == before and tries < FENCE_TRIES:
        tries += 1
        container = leader()
        pid = process(container)
        docker("update", "--cpus", STARVED, container)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            names = list(pool.map(lambda _: town.order(), range(64)))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not any(history.bound_at(name) for name in names):
            time.sleep(0.002)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 5)
        os.kill(pid, signal.SIGCONT)
        time.sleep(2)
        docker("update", "--cpus", "1.0", container)
        time.sleep(3)
    return f"{fenced() - before} refused by the fence, at try {tries}"


def faults(town, history):
    one = lambda service: containers(service)[0]
    return {
        "pause-control-plane": ("control-plane-1 paused", lambda: paused(one("control-plane-1"))),
        "kill-control-plane": ("control-plane-2 kill -9", lambda: killed(one("control-plane-2"))),
        "pause-postgres": ("postgres paused", lambda: paused(one("postgres"))),
        "kill-postgres": ("postgres kill -9", lambda: killed(one("postgres"))),
        "pause-caddy": ("caddy paused", lambda: paused(one("caddy"))),
        "kill-caddy": ("caddy kill -9", lambda: killed(one("caddy"))),
        "pause-dispatch": ("dispatch leader paused", lambda: paused(leader())),
        "kill-dispatch": ("dispatch leader kill -9", lambda: killed(leader())),
        "kill-standby": ("dispatch standby kill -9", lambda: killed(standby())),
        "cut-dispatch": ("dispatch leader off the network", lambda: cut(leader())),
        "stop-dispatch": ("dispatch leader starved and SIGSTOP, amid writes", lambda: stopped_amid_writes(town, history)),
    }


# --- measuring -------------------------------------------------------------------------------------------------------


def settled(observers, town, history, since):
    """Whether nothing failed for a while, and what was ordered in it is bound."""
    at = now()
    lately = [seen for observer in observers for seen in observer.between(max(since, at - CALM), at)]
    orders = [name for name, (_, asked) in list(town.created.items()) if at - CALM <= asked <= at - 3]
    return (lately and all(good(code) for _, _, code in lately) and orders
            and all(history.bound_at(name) for name in orders))


def outage(seen):
    """How long from the first question that was not answered well to the next good answer after the last; and how they
    were answered."""
    bad = [(at, took, code) for at, took, code in seen if not good(code)]
    codes = {}
    for _, _, code in bad:
        codes[code] = codes.get(code, 0) + 1
    if not bad:
        return "–", ""
    again = [at + took for at, took, code in seen if good(code) and at >= bad[-1][0]]
    length = f"{(min(again) if again else now()) - bad[0][0]:.1f} s"
    return length, ", ".join(f"{code} ×{count}" for code, count in sorted(codes.items()))


def run_fault(title, work, observers, town, history):
    begun = now()
    note = work() or ""
    over = now()
    while now() - over < CALM or (not settled(observers, town, history, over) and now() - over < CALM_AT_MOST):
        time.sleep(0.5)
    ended = now()
    writes, reads, ready = (observer.between(begun, ended) for observer in observers)
    waits = [(history.bound_at(name) or float("inf")) - asked
             for name, (_, asked) in list(town.created.items()) if begun <= asked <= ended - 3]
    cells = [title, *outage(writes), slowest(writes), *outage(reads), outage(ready)[1] or "always 200",
             f"{history.silent(begun, ended):.1f} s", f"{max(waits, default=0):.1f} s", note]
    print("| " + " | ".join(cells) + " |", flush=True)


def slowest(seen):
    return f"{max((took for _, took, code in seen if good(code)), default=0):.1f} s"


# --- the end ---------------------------------------------------------------------------------------------------------


def whole_list(api, path):
    items, more = [], ""
    while more is not None:
        page = api.must("GET", f"{path}?limit=500{more}")
        items += page["items"]
        token = page["metadata"].get("continue")
        more = f"&continue={urllib.parse.quote(token)}" if token else None
    return items


def verdict(api, town, history):
    """What must be true of the whole history, else what is wrong with it."""
    wrong = list(town.refused)
    deadline = time.monotonic() + 180
    while True:
        final = {order["metadata"]["name"]: order for order in whole_list(api, ORDERS)}
        on_the_way = [name for name, order in final.items() if order["status"].get("phase") != "Delivered"]
        if not on_the_way or time.monotonic() > deadline:
            break
        time.sleep(3)
    wrong += [f"{name} is {final[name]['status'].get('phase')}, not Delivered" for name in on_the_way]

    for name, (uid, _) in town.created.items():
        if name not in final or final[name]["metadata"]["uid"] != uid:
            wrong.append(f"{name} was acknowledged and is lost")
    for name in town.delivered:
        if final.get(name, {}).get("status", {}).get("phase") != "Delivered":
            wrong.append(f"the delivery of {name} was acknowledged and is lost")

    # One driver a generation, whichever way the history is read; revisions rise.
    bindings, last = {}, 0
    for revision, name, driver, generation in history.states:
        if revision <= last:
            wrong.append(f"the watch went back from {last} to {revision}")
        last = revision
        if driver and bindings.setdefault(name, {}).setdefault(generation, driver) != driver:
            wrong.append(f"{name} was bound to {bindings[name][generation]} and to {driver} in generation {generation}")
    # What the agents told people agrees: at most one Event a binding. (One may be lost with its agent.)
    told = {}
    for event in whole_list(api, f"/api/v1/namespaces/{NAMESPACE}/events"):
        if event.get("reason") == "Assigned":
            name = event["involvedObject"]["name"]
            told[name] = told.get(name, 0) + event.get("count", 1)
    for name, count in told.items():
        if count > len(bindings.get(name, {})):
            wrong.append(f"{name} has {count} Events of a binding, but {len(bindings.get(name, {}))} bindings")
    if history.lost:
        wrong.append(f"the watch lost history: {history.lost}")

    print(f"\n{len(town.created)} orders acknowledged, {len(final)} stored, {len(town.delivered)} delivered; "
          f"{sum(map(len, bindings.values()))} bindings in {len(history.states)} states; the watch was cut "
          f"{history.cuts} times and went on; {sum(told.values())} Events of bindings; {fenced()} writes refused by a fence")
    return wrong


def main():
    api = Api()
    town = Town(api)
    history = History(api, town)
    history.start()
    reads, ready = Seen("reads"), Seen("readyz")

    def observe(seen, path):
        at = now()
        seen.add(at, api.ask("GET", path)[0])

    every(ORDER_EVERY, town.order)
    every(PROBE_EVERY, lambda: observe(reads, f"{ORDERS}?limit=1"))
    every(PROBE_EVERY, lambda: observe(ready, "/readyz"))
    observers = (town.writes, reads, ready)

    known = faults(town, history)
    asked = sys.argv[1:] or list(known)
    for name in asked:
        if name not in known:
            raise SystemExit(f"faults: there is no {name}; there are: {' '.join(known)}")
    print("| fault | writes out | answers | slowest good write | reads out | answers | readyz | watch silent | "
          "longest wait for a driver | |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    run_fault("none, 20 s", lambda: time.sleep(20), observers, town, history)
    for name in asked:
        title, work = known[name]
        run_fault(title, work, observers, town, history)

    # No more orders; the drivers finish their ways, and the watch sees them.
    closing.set()
    wrong = verdict(api, town, history)
    stopping.set()
    for line in wrong[:50]:
        print(f"WRONG: {line}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
