"""Child processes as an unprivileged user, free ports, and waiting for something to become true."""

import contextlib
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SERVER_USER = "postgres"  # PostgreSQL and PgBouncer refuse to run as root


def as_user(argv):
    """The command line that runs argv without root's rights, and ends it when we are killed."""
    if os.geteuid() != 0:
        return list(argv)
    return ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--init-groups", "--pdeathsig=KILL", *argv]


def give_away(path):
    """Makes path belong to the user the servers run as."""
    if os.geteuid() == 0:
        who = pwd.getpwnam(SERVER_USER)
        os.chown(path, who.pw_uid, who.pw_gid)


def forbid(path):
    """Not even its owner may read it; root may, so the file is root's."""
    path.chmod(0o000)
    if os.geteuid() == 0:
        os.chown(path, 0, 0)


@contextlib.contextmanager
def work_folder(name):
    """A folder servers may write to; removed at the end, unless PGUSHER_KEEP is set."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"pgusher-{name}-"))
    path.chmod(0o755)
    give_away(path)
    try:
        yield path
    finally:
        if not os.environ.get("PGUSHER_KEEP"):
            shutil.rmtree(path, ignore_errors=True)


_handed_out = set()


def free_port():
    """A loopback port nobody listens on, that was not handed out before, and below the range that the kernel
    gives to outgoing connections, so that none takes it meanwhile. Test processes that run beside each other have
    ports of their own: it is free until its server is up."""
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    every = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(10000 + mine, 30000, every)
        if port in _handed_out:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port


def wait_for(what, ready, seconds=30.0):
    """Polls ready() until it gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        result = ready()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.005)


def accepts(port):
    """Whether somebody listens on the loopback port."""
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child with its output in a file."""

    def __init__(self, argv, log, env=None, user=True):
        self.argv = [str(a) for a in argv]
        self.log_path = pathlib.Path(log)
        with open(self.log_path, "ab") as out:
            self.child = subprocess.Popen(
                as_user(self.argv) if user else self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.log_path.parent,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, seconds=10.0):
        """The exit status; a child that does not end in time is killed, and that is an error."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise TimeoutError(f"{self.argv[0]} did not end in {seconds:g} s") from None

    def await_port(self, port, seconds=20.0):
        def ready():
            if not self.alive():
                raise RuntimeError(f"{self.argv[0]} ended with {self.child.returncode}:\n{self.log()}")
            return accepts(port)

        wait_for(f"{self.argv[0]} on port {port}", ready, seconds)

    def kill(self):
        if self.alive():
            self.signal(signal.SIGCONT)
            self.child.kill()
        self.child.wait()

    def cpu_seconds(self):
        """User and system time of all its threads so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status_kib(self, key):
        """VmRSS, VmHWM … of /proc/PID/status."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise KeyError(key)

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
