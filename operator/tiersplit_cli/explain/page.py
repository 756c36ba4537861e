"""A plain, self-contained HTML page: styles and pictures inside, nothing fetched from anywhere."""

import html
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CSS = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f6f7f9;color:#1b2430;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 8px;letter-spacing:-.01em}
h2{font-size:19px;margin:0 0 12px}
.lead{color:#48535f;font-size:17px;max-width:70ch;margin:0 0 24px}
section{background:#fff;border:1px solid #e3e7ec;border-radius:12px;padding:22px 24px;margin:18px 0}
section p{max-width:85ch;margin:0 0 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 18px}
.tile{background:#fff;border:1px solid #e3e7ec;border-radius:12px;padding:14px 16px}
.tile b{display:block;font-size:22px;line-height:1.2;font-variant-numeric:tabular-nums}
.tile span{color:#5b6673;font-size:14px}
svg{display:block;width:100%;height:auto}
.scroll{overflow-x:auto}
.scroll+.scroll{margin-top:22px}
table{border-collapse:collapse;width:100%;font-size:14.5px;font-variant-numeric:tabular-nums}
th{text-align:left;color:#5b6673;font-weight:600;border-bottom:2px solid #e3e7ec;
padding:7px 12px 7px 0;vertical-align:bottom}
td{border-bottom:1px solid #eef0f3;padding:7px 12px 7px 0;vertical-align:top}
th.n,td.n{text-align:right;white-space:nowrap}
tr.here td{background:#fff6e9;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:0;font-size:14.5px}
dt{color:#5b6673}dd{margin:0}
ul{margin:0;padding-left:20px}li{margin:0 0 6px;max-width:90ch}
code{font:13.5px ui-monospace,"DejaVu Sans Mono",monospace}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its title, the sentence under it, and its body as HTML."""

    title: str
    lead: str
    body: str


def text(value: object) -> str:
    """`value` as HTML text."""
    return html.escape(str(value))


def section(title: str, *parts: str) -> str:
    """A card with a heading; `parts` are HTML."""
    return f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>"


def paragraph(words: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{text(words)}</p>"


def bullets(items: Sequence[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>"


def tiles(values: Mapping[str, str]) -> str:
    """Large numbers with a label each: label -> number."""
    inner = "".join(f'<div class="tile"><b>{text(v)}</b><span>{text(k)}</span></div>' for k, v in values.items())
    return f'<div class="tiles">{inner}</div>'


def facts(values: Mapping[str, str]) -> str:
    """A list of facts: what -> value."""
    return "<dl>" + "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in values.items()) + "</dl>"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = (), here: int | None = None
) -> str:
    """A table; the columns in `numeric` stand right, the row `here` is highlighted."""

    def cells(row: Sequence[str], tag: str) -> str:
        kind = dict.fromkeys(numeric, ' class="n"')
        return "".join(f"<{tag}{kind.get(i, '')}>{text(cell)}</{tag}>" for i, cell in enumerate(row))

    mark = ' class="here"'
    body = "".join(f"<tr{mark if i == here else ''}>{cells(row, 'td')}</tr>" for i, row in enumerate(rows))
    return f'<div class="scroll"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def render(page: Page) -> str:
    """The whole document."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(page.title)}</title><style>{_CSS}</style></head><body><main>"
        f'<h1>{text(page.title)}</h1><p class="lead">{text(page.lead)}</p>{page.body}</main></body></html>\n'
    )


def write_page(path: Path, page: Page) -> None:
    """Write the page; a reader never sees half of it."""
    write_atomically(path, render(page).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to a neighbour of `path`, then put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
