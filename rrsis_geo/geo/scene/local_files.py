"""Tell files from addresses, and check files of users before a library opens them."""

import stat
from pathlib import Path
from urllib.request import url2pathname

from rrsis_geo.errors import InputError

_NETWORKS = ("://", "/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls")
"""Parts of the names of remote files, also of those inside an archive."""


def is_remote(name: str) -> bool:
    """Whether a path, or a source in the XML of a VRT, is read over a network."""
    return any(part in name for part in _NETWORKS) and not name.lower().startswith("file:")


def local_path(name: str) -> str:
    """The path of a ``file:`` address; any other name unchanged."""
    if not name.lower().startswith("file:/"):
        return name
    path = name[len("file:") :]
    return url2pathname("/" + path[2:].partition("/")[2] if path.startswith("//") else path)


def address_path(address: str) -> str:
    """An address or a reference without its query and its fragment."""
    return address.partition("?")[0].partition("#")[0]


def check_file(name: str | Path, *, label: str = "") -> None:
    """Check that a library can open a file. Names that are not paths of this machine pass.

    Args:
        name: path, address or GDAL's name of a dataset.
        label: what to call it in messages; the name by default.

    Raises:
        InputError: it is a pipe or a device, or its name is not UTF-8.
    """
    text = label or str(name)
    try:
        str(name).encode()
        mode = Path(name).stat().st_mode
    except UnicodeEncodeError as err:
        printable = text.encode(errors="backslashreplace").decode()
        raise InputError(f"{printable}: its name is not UTF-8; rename it") from err
    except (OSError, ValueError):  # no such path; libraries explain what they cannot open
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{text}: is a pipe or a device; save its content to a file first")
