"""Files that a measuring process reads and writes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty directory beside `folder`, where links to its files cost nothing; gone when the block ends.

    Where nothing may be written there, it lies where the system has its temporary files.
    """
    where = folder.parent if os.access(folder.parent, os.W_OK) else None
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=where) as made:
        yield Path(made)


def link_or_copy(source: Path, target: Path) -> None:
    """Let `target` have the bytes of `source`, without space of its own where both lie on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
