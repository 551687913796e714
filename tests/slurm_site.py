"""SLURM's daemons on loopback, for the tests."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess

import psutil

from tests.sweep_home import wait_until

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
INSTALL = "apt-get install -y slurm-wlm munge"
SBIN = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])

# as on a machine of its own, without cgroups and accounting; memory and cores are only told
CONFIGURATION = """
ClusterName=trial
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
SchedulerParameters=bf_interval=1,sched_interval=1
ReturnToService=2
KillWait=2
NodeName={node} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Site:
    """A queue, and the environment in which SLURM's commands find it."""

    def __init__(self, environment):
        self.environment = environment

    def _call(self, *command):
        environment = os.environ | self.environment
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def jobs(self):
        """Return state and reason by job."""
        lines = self._call("squeue", "--noheader", "--array", "--format=%i|%T|%r").splitlines()
        jobs = {job: (state, reason) for job, state, reason in (s.split("|") for s in lines)}
        return {job: told for job, told in jobs.items() if told[0] != "COMPLETING"}

    def kill(self, job):
        """Kill all processes of a job, as a node that fails would, without a word before."""
        self._call("scancel", "--signal=KILL", "--full", job)


def missing():
    """Return which of SLURM's programs aren't here."""
    return [name for name in NEEDED if shutil.which(name, path=SBIN) is None]


def free_ports(n):
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [server.getsockname()[1] for server in servers]


@contextlib.contextmanager
def real(folder):
    """Start munge, slurmctld and slurmd on 127.0.0.1; stop what was started."""
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    node = socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(
        node=node, folder=folder, ports=free_ports(2), user=getpass.getuser()
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    site = Site({"PATH": SBIN, "SLURM_CONF": str(folder / "slurm.conf")})
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log"}
    files |= {"seed-file": "seed"}
    munge = [f"--{option}={folder}/munge.{end}" for option, end in files.items()]
    munged = ["munged", "--foreground", "--force", *munge]
    daemons = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            environment = os.environ | site.environment
            with (folder / f"{command[0]}.out").open("w") as log:
                daemons.append(
                    subprocess.Popen(
                        command, env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
            if command[0] == "munged":
                wait_until((folder / "munge.socket").exists, "munge answers")
        wait_until(lambda: _answers(site), "a node is idle")
        yield site
    finally:
        steps = [p for p in psutil.process_iter() if _is_step(p, folder)]
        for daemon in reversed(daemons):
            daemon.terminate()
        for step in steps:
            with contextlib.suppress(psutil.NoSuchProcess):
                step.kill()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _answers(site):
    try:
        return "idle" in site._call("sinfo", "--noheader", "--format=%T")
    except subprocess.CalledProcessError:
        return False


def _is_step(process, folder):
    """Tell whether a process is a job's step of the SLURM that is configured in a folder."""
    try:
        mine = process.environ().get("SLURM_CONF") == str(folder / "slurm.conf")
        return mine and process.name() == "slurmstepd"
    except (psutil.Error, OSError):
        return False
