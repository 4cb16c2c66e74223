"""Real servers on free ports: git's own daemon, and MLflow's tracking server."""

import contextlib
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Project


def free_port() -> int:
    """One below those that outgoing connections get: none takes it while its server is down."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def serving(command: list[str], port: int, project: Project, seconds: float = 120) -> Iterator[None]:
    """Runs a server while the block lasts; begins when its port answers."""
    log = project.folder.parent / f"server-{port}.log"
    # The jobs of its GenAI parts are seven more processes.
    environment = {**project.environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=log.parent, env=environment, stdout=output, stderr=output)
        try:
            await_port(port, server, time.monotonic() + seconds, log)
            yield
        finally:
            end(server, seconds)


def end(server: "subprocess.Popen[bytes]", seconds: float) -> None:
    server.terminate()
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def await_port(port: int, server: "subprocess.Popen[bytes]", until: float, log: Path) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


@contextlib.contextmanager
def git_daemon(folder: Path, project: Project) -> Iterator[str]:
    """Serves the repositories of a folder; gives the URL that they are under."""
    port = free_port()
    daemon = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
    # Without a shell in between, so that ending it ends what serves.
    with serving([*daemon, f"--port={port}", f"--base-path={folder}", str(folder)], port, project):
        yield f"git://127.0.0.1:{port}"


@contextlib.contextmanager
def tracking_server(folder: Path, project: Project, port: int = 0) -> Iterator[str]:
    """MLflow's server, which alone can reach the database and the artifacts in the folder."""
    port, database = port or free_port(), project.uri
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database]
    command += ["--artifacts-destination", str(folder), "--serve-artifacts", "--workers", "1"]
    with serving([*command, "--host", "127.0.0.1", "--port", str(port)], port, project):
        yield f"http://127.0.0.1:{port}"
