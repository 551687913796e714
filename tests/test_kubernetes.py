"""The manifests: what starts after what, and their shell script."""

import subprocess

import yaml

from shd_helpers.paths import ROOT
from shd_helpers.sweeps.runner import parser

CLUSTER = ROOT / "sweeps" / "cluster"
RESOURCES = {
    (resource["kind"], resource["metadata"]["name"]): resource
    for resource in yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text())
}
SWEEP, WORKER = (RESOURCES["Job", name]["spec"] for name in ("shd-sweep", "shd-worker"))
PODS = {name: job["template"]["spec"] for name, job in (("sweep", SWEEP), ("worker", WORKER))}


def test_the_sweep_waits_for_its_scheduler_and_failed_runs_are_tried_once():
    (scheduler,), (sweep,) = PODS["sweep"]["initContainers"], PODS["sweep"]["containers"]
    assert scheduler["restartPolicy"] == "Always" and scheduler["startupProbe"]["tcpSocket"]
    (service,) = (RESOURCES[key]["spec"] for key in RESOURCES if key[0] == "Service")
    assert service["selector"] == SWEEP["template"]["metadata"]["labels"]
    assert scheduler["startupProbe"]["tcpSocket"]["port"] in {p["port"] for p in service["ports"]}
    (rule,) = SWEEP["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [1]
    assert rule["onExitCodes"]["containerName"] == sweep["name"]
    assert PODS["sweep"]["restartPolicy"] == "Never"  # else the policy is refused
    command = [*sweep["command"], *sweep["args"]]
    assert command[:3] == ["python", "-m", "shd_helpers.sweeps.runner"]
    assert parser().parse_args(command[3:]).scheduler == "tcp://127.0.0.1:8786"
    assert (ROOT / "sweeps" / f"{command[3]}.yaml").is_file()


def test_workers_wait_work_again_and_go(tmp_path):
    """The script in sh; what it calls writes down that it was called, and the waiting is short."""
    script = PODS["worker"]["containers"][0]["args"][0]
    # the scheduler answers from the third question on, is lost after a worker's end, comes back
    answers = iter([1, 1, 0, 0, 1, 0, *[1] * 60])
    (tmp_path / "answers").write_text("\n".join(map(str, answers)))
    (tmp_path / "python").write_text(
        '#!/bin/sh\nread -r answer <"$HERE/answers"; sed -i 1d "$HERE/answers"; exit "$answer"\n'
    )
    (tmp_path / "dask").write_text('#!/bin/sh\necho "$@" >>"$HERE/calls"\n')
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for name in ("python", "dask", "sleep"):
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    ended = subprocess.run(["sh", "-c", script], env={"PATH": path, "HERE": str(tmp_path)})
    assert ended.returncode == 0 and (tmp_path / "answers").read_text() == ""
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2 and all(c.startswith("worker tcp://shd-scheduler:8786") for c in calls)
