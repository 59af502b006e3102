"""What a program and everything that it starts cost: time, CPU time and peak memory. Linux only."""

import ctypes
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass

SAMPLE_EVERY_S = 0.1
END_LIMIT_S = 10  # for what is asked to end, before it is killed
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """A program failed, or took too long."""


@dataclass
class Cost:
    wall_s: float  # from the start to the end of the last process
    cpu_s: float  # user and system, of all processes
    peak_bytes: int  # most that was resident at once, all processes together
    other_cpu_s: float  # what the rest of the machine took meanwhile, the broker too


def adopt_orphans():
    """From now on what a child of ours leaves behind is our child: it is measured, and ended, with the rest.
    PySpark leaves its JVM so."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "becoming the parent of orphans")


def measure(command, log, limit_s, **options):
    """Runs a command to the end of all it started. Its output goes to the file `log`."""
    with open(log, "wb") as output:
        started, busy_s = time.monotonic(), machine_cpu_s()
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        cost = Cost(0, 0, 0, 0)
        try:
            status = wait(child.pid, started + limit_s, cost)
        finally:
            end_all()
            child.returncode = 0  # `wait` has reaped it
    if status is None:
        raise Failed(f"{command[0]} has not ended after {limit_s} s; the last it said:\n{tail(log)}")
    if status != 0:
        raise Failed(f"{command[0]} failed with exit status {status}; the last it said:\n{tail(log)}")
    cost.wall_s = time.monotonic() - started
    cost.other_cpu_s = max(0.0, machine_cpu_s() - busy_s - cost.cpu_s)
    return cost


def wait(pid, deadline, cost):
    """The exit status of `pid` when it and all it started have ended, or None if that takes too long."""
    status = None
    handle = os.pidfd_open(pid)
    try:
        while time.monotonic() < deadline:
            cost.peak_bytes = max(cost.peak_bytes, resident(descendants()))
            if status is None:
                select.select([handle], [], [], SAMPLE_EVERY_S)
            else:
                time.sleep(SAMPLE_EVERY_S / 10)
            try:
                while (reaped := os.wait4(-1, os.WNOHANG))[0] != 0:
                    # With what it had waited for itself.
                    cost.cpu_s += reaped[2].ru_utime + reaped[2].ru_stime
                    if reaped[0] == pid:
                        status = os.waitstatus_to_exitcode(reaped[1])
            except ChildProcessError:
                return status
        return None
    finally:
        os.close(handle)


def end_all():
    """Ends every process that is below this one."""
    deadline = time.monotonic() + END_LIMIT_S
    asked = set()
    while below := descendants():
        late = time.monotonic() > deadline
        for pid in below if late else below - asked:
            try:
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            except ProcessLookupError:
                pass
        asked |= below
        try:
            while os.wait4(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        time.sleep(0.05)


def descendants():
    """Every process below this one."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    # `pid (name) state parent …`; the name may hold anything.
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, new = set(), [os.getpid()]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        found.update(new)
    return found


def resident(pids):
    """Bytes that are resident in all of them now, or that were in one of them at most if that is more."""
    most, now = 0, {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status") as file:
                status = dict(line.split(":", 1) for line in file)
            with open(f"/proc/{pid}/stat") as file:
                start_of_stack = file.read().rpartition(")")[2].split()[25]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "VmRSS" in status:  # not of one that has ended
            # A JVM's child is in the JVM's own memory until it has become another program: counted once.
            now[start_of_stack, status["VmSize"]] = kibibytes(status["VmRSS"])
            most = max(most, kibibytes(status["VmHWM"]))
    return max(sum(now.values()), most)


def machine_cpu_s():
    """CPU time of all that runs here, since the machine started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def kibibytes(text):
    return int(text.split()[0]) * 1024


def tail(log, lines=20):
    with open(log, errors="replace") as file:
        return "".join(file.readlines()[-lines:])
