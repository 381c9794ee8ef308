"""Open the storage of a search by URL: one SQLite file, a log file for network drives, or a database server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

JOURNAL = "journal:///"
SQLITE = "sqlite:///"
SCHEMES = ("sqlite:///FILE", "journal:///FILE", "postgresql://USER@HOST/NAME", "mysql://USER@HOST/NAME")
DRIVERS = {"postgresql": "psycopg[binary]", "mysql": "pymysql"}
"""Package that speaks with a database server."""
DIALECTS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
"""Scheme with that package, where the URL names none."""
LOCK_SECONDS = 100
"""How long a process waits for another one that writes to the same SQLite file."""
ATTEMPTS = 5
"""Of processes that make the tables of a new storage at the same moment only one succeeds; the others try again."""
SAME_MOMENT = ("exist", "duplicate", "unique", "locked", "deadlock")
"""Words by which a database says that another process was faster."""


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"{SQLITE}{path.absolute().as_posix()}"


def open_storage(optuna: Any, url: str) -> Any:
    """The storage of a URL; SQLite and journal files are made where they are not there.

    Args:
        optuna: the package.
        url: one of `SCHEMES`; a fourth slash makes the path absolute, as in SQLAlchemy.

    Raises:
        ValueError: no URL that is understood.
        RuntimeError: it cannot be opened; one sentence, without the password.
    """
    scheme = url.split(":", 1)[0].split("+")[0]
    if "://" not in url or scheme not in ("sqlite", "journal", *DRIVERS):
        raise ValueError(f"The storage {shown_url(url)!r} is not understood, expected a URL: {', '.join(SCHEMES)}.")
    if url.startswith((JOURNAL, SQLITE)):
        Path(url.split(":///", 1)[1]).absolute().parent.mkdir(parents=True, exist_ok=True)
    if url.startswith(JOURNAL):
        # Absolute: the lock beside the file is a link, whose target must be found from anywhere.
        path = Path(url[len(JOURNAL) :]).absolute()
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return _database(optuna, url, scheme)


def _database(optuna: Any, url: str, scheme: str) -> Any:
    settings = {"connect_args": {"timeout": LOCK_SECONDS}} if scheme == "sqlite" else {"pool_pre_ping": True}
    named = scheme in DIALECTS and "+" not in url.split(":", 1)[0]
    address = DIALECTS[scheme] + url[len(scheme) :] if named else url
    attempt = 0
    while True:
        attempt += 1
        try:
            return optuna.storages.RDBStorage(address, engine_kwargs=settings)
        except ImportError as error:
            package = DRIVERS.get(scheme, "SQLAlchemy")
            raise RuntimeError(f"A {scheme} storage needs the package {package}: pip install '{package}'.") from error
        except Exception as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            if attempt == ATTEMPTS or not any(word in reason.lower() for word in SAME_MOMENT):
                raise RuntimeError(
                    f"The storage {shown_url(url)} cannot be opened ({reason}): check the address, the file and the "
                    "permissions."
                ) from error
        time.sleep(0.2 * attempt)


def shown_url(url: str) -> str:
    """The URL without its password."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return url
    return url.replace(f":{password}@", ":***@") if password else url
