"""Run a throw-away Postgres: initdb makes it in a second, and it is gone when its ``with`` block ends.

This works as root too, although Postgres refuses to run as root, and changes no permission outside of its directory.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from bridge.demo.process import as_user, tail
from bridge.demo.servers.server import enter_on_free_port, environment, server
from bridge.demo.servers.wheels import INSTALL, postgres_programs
from bridge.errors import BridgeError, NotInstalled

# Without fsync a crash of the machine loses data. `synchronous_commit` stays on, because tests crash the server, and a
# crash of the server alone must lose nothing.
POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_prepared_transactions": "64",
    "timezone": "UTC",
}


@contextmanager
def run_postgres(
    directory: Path,
    *,
    version: int = 18,
    settings: Mapping[str, str] = MappingProxyType({}),
    under: Sequence[str] = (),
) -> Iterator[str]:
    """Run an empty Postgres.

    Postgres refuses to run as root. For root it runs as an unprivileged user, with its data in the system's
    temporary directory.

    Args:
        directory: Where the log and, unless we are root, the data go.
        version: Major version, one of `postgres_versions()`.
        settings: Server settings that replace or add to `POSTGRES_SETTINGS`.
        under: A command that runs the server, such as a profiler; none by default.

    Yields:
        The superuser's URL, ``postgresql://postgres@127.0.0.1:PORT/postgres``.

    Raises:
        NotInstalled: this version is not at hand.
        BridgeError: it did not start; the message ends with its log.
    """
    user = _unprivileged_user()
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parent = directory if user is None else _directory_open_to_all()
        name = stack.enter_context(
            # A backend may write its last file while we clean up: that is no reason to fail.
            tempfile.TemporaryDirectory(prefix=f"bridge-postgres-{version}-", dir=parent, ignore_cleanup_errors=True)
        )
        home = Path(name)
        if user is not None:
            os.chown(home, user.pw_uid, user.pw_gid)
        binaries = _runnable_by(user, _postgres_binaries(version), home)
        data = home / "data"
        log = directory / f"{home.name}.log"
        _init_database(binaries, data, log, user)

        def start(port: int) -> AbstractContextManager[int]:
            places = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
            values = {**POSTGRES_SETTINGS, **settings, **places}
            options = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
            return server(
                "postgres",
                [*under, str(binaries / "postgres"), "-D", str(data), *options],
                is_ready=lambda _: _is_accepting(data),
                log=log,
                directory=home,
                stop=signal.SIGINT,  # Postgres's fast shutdown: does not wait for clients to leave
                orphaned=signal.SIGQUIT,
                user=user,
            )

        yield f"postgresql://postgres@127.0.0.1:{enter_on_free_port(stack, start)}/postgres"


def postgres_versions() -> dict[int, Path]:
    """Return the Postgres versions at hand: major version -> directory of its programs."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if packaged := postgres_programs():
        places.append(packaged)  # last, so that these win over the system's
    versions = {}
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            told = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
            if found := re.search(r"\d+", told):
                versions[int(found[0])] = place
    return dict(sorted(versions.items()))


def _postgres_binaries(version: int) -> Path:
    versions = postgres_versions()
    if version not in versions:
        at_hand = ", ".join(map(str, versions)) or "none"
        raise NotInstalled(f"PostgreSQL {version} is not at hand (there is: {at_hand}): {INSTALL}")
    return versions[version]


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user who runs Postgres in place of root, or None if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "daemon", "postgres"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise BridgeError("postgres can't run as root and there is no user 'nobody': start it as another user")


def _directory_open_to_all() -> Path:
    for place in (Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")):
        if place.is_dir() and all(step.stat().st_mode & stat.S_IXOTH for step in (place, *place.parents)):
            return place
    raise BridgeError("no temporary directory is open to the user who runs Postgres: set TMPDIR to one that is")


def _runnable_by(user: pwd.struct_passwd | None, binaries: Path, home: Path) -> Path:
    """Return `binaries`, or a copy under `home` if `user` can't reach them, as in a checkout below /root."""
    if user is None:
        return binaries
    try:
        probe = [str(binaries / "initdb"), "--version"]
        if subprocess.run(probe, capture_output=True, cwd="/", check=False, **as_user(user)).returncode == 0:
            return binaries
    except PermissionError:
        pass
    # The programs find their libraries by a relative path, so the copy has the layout of site-packages.
    install, package = binaries.parent, binaries.parent.parent
    copy = home / package.name / install.name
    shutil.copytree(install, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, home / libraries.name, symlinks=True)
    for path in home.rglob("*"):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return copy / binaries.name


def _init_database(binaries: Path, data: Path, log: Path, user: pwd.struct_passwd | None) -> None:
    options = [
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    command = [str(binaries / "initdb"), "-D", str(data), *options]
    try:
        with log.open("ab") as out:
            subprocess.run(
                command,
                check=True,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=data.parent,
                env=environment(),
                **as_user(user),
            )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BridgeError(f"initdb could not make a database: {error}{tail(log)}") from error


def _is_accepting(data: Path) -> bool:
    """Tell whether it takes connections, by its own file: another server may have taken the port."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"
