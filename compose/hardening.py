"""Prints what the containers of a stack may and may not, as compose/hardening.txt has it: `hardening.py PROJECT`."""

import json
import subprocess
import sys

LABEL = "com.docker.compose"


def docker(*args):
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True, timeout=60).stdout


def lines(container, project):
    config, host = container["Config"], container["HostConfig"]
    yield f"user {config['User']} groups {host['GroupAdd'] or []}"
    yield f"read-only {host['ReadonlyRootfs']} privileged {host['Privileged']} {' '.join(host['SecurityOpt'] or [])}"
    # Newer engines write CAP_ before the name.
    added = [name.removeprefix("CAP_") for name in host["CapAdd"] or []]
    yield f"drop {host['CapDrop'] or []} add {added}"
    limits = {name: bool(host[name]) for name in ("Memory", "NanoCpus", "PidsLimit")}
    yield f"limits {limits}"
    yield f"log {host['LogConfig']['Type']} {host['LogConfig']['Config']}"
    yield f"restart {host['RestartPolicy']['Name']} stop {config.get('StopTimeout')} s health {bool(config.get('Healthcheck'))}"
    for port, bindings in sorted((host["PortBindings"] or {}).items()):
        yield f"publishes {port} at {[binding['HostIp'] for binding in bindings]}"
    for name in sorted(container["NetworkSettings"]["Networks"]):
        network = json.loads(docker("network", "inspect", name))[0]
        yield f"network {name.removeprefix(project + '_')} internal {network['Internal']}"
    for mount in sorted(container["Mounts"], key=lambda mount: mount["Destination"]):
        yield f"{mount['Type']} {mount['Destination']} writable {mount['RW']}"
    for path in sorted(host.get("Tmpfs") or {}):
        yield f"tmpfs {path}"


def main():
    project = sys.argv[1]
    ids = docker("ps", "--quiet", "--filter", f"label={LABEL}.project={project}").split()
    containers = json.loads(docker("inspect", *ids))
    for container in sorted(containers, key=lambda container: container["Config"]["Labels"][f"{LABEL}.service"]):
        print(container["Config"]["Labels"][f"{LABEL}.service"])
        for line in lines(container, project):
            print(f"    {line}")


if __name__ == "__main__":
    main()
