"""Stays with one copy of the fork server as a parent does, between the step and its supervisor."""

import os
import select
import signal
import socket

from mlflow_workflow.launch.local.supervisor import (
    PR_SET_CHILD_SUBREAPER,
    ask_kernel,
    end_adopted,
    kill_group,
)
from mlflow_workflow.launch.warm.forked_step import Call, begin


def mind(connection: socket.socket, call: Call) -> Call:
    """Forks the step and tells the supervisor how it ended. Returns in the step only."""
    ask_kernel(PR_SET_CHILD_SUBREAPER, 1)
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        connection.close()
        begin(its)
        return call
    its.close()
    ours.recv(1)
    connection.send(str(pid).encode())
    if connection.recv(1):
        ours.send(b"!")
    ours.close()
    connection.send(str(wait(connection, pid)).encode())
    os._exit(0)


def wait(connection: socket.socket, pid: int) -> int:
    """The step's exit code, once nothing of it is left. It ends at once if its supervisor is gone."""
    ended = os.pidfd_open(pid)
    if connection.fileno() in select.select([connection.fileno(), ended], [], [])[0]:
        kill_group(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    kill_group(pid, signal.SIGKILL)
    end_adopted()
    return os.waitstatus_to_exitcode(status)
