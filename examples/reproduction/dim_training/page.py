"""A page of headings, text, tables and pictures, as Markdown and as HTML with embedded pictures."""

import base64
import html
from pathlib import Path
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #2b2f36; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .9rem; text-align: right }
th { border-bottom: 2px solid #2b2f36 } td { border-bottom: 1px solid #e3e6ea }
th:first-child, td:first-child { text-align: left }
img { max-width: 100%; height: auto } code { background: #f3f4f6; padding: .1rem .3rem; border-radius: 3px }
p.note { color: #666d76; font-size: .9rem } pre { font-size: .85rem }
"""

Block = tuple[str, Any]  # ("text" | "note" | "heading" | "code", str), ("table", rows), ("picture", (path, caption))


def markdown(title: str, blocks: list[Block], base: Path) -> str:
    """Return the page in Markdown; the paths of its pictures are relative to the folder ``base``."""
    parts = [f"# {title}"]
    for kind, content in blocks:
        if kind == "heading":
            parts.append(f"## {content}")
        elif kind == "table":
            parts.append(markdown_table(content))
        elif kind == "picture":
            path, caption = content
            parts.append(f"![{caption}]({path.relative_to(base).as_posix()})")
        elif kind == "code":
            parts.append(f"```python\n{content}\n```")
        else:
            parts.append(content)
    return "\n\n".join(parts) + "\n"


def markdown_table(rows: list[list[str]]) -> str:
    """Return a table in Markdown; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def html_page(title: str, blocks: list[Block]) -> str:
    """Return the page as one HTML file with embedded pictures."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for kind, content in blocks:
        if kind == "heading":
            parts.append(f"<h2>{html.escape(content)}</h2>")
        elif kind == "table":
            head, *body = content
            cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
            lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
            parts.append(f"<table><tr>{cells}</tr>{lines}</table>")
        elif kind == "picture":
            path, caption = content
            data = base64.b64encode(path.read_bytes()).decode()
            parts.append(f'<p><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}"></p>')
        elif kind == "code":
            parts.append(f"<pre>{html.escape(content)}</pre>")
        else:
            words = html.escape(content).split("`")
            marked = "".join(f"<code>{w}</code>" if i % 2 else w for i, w in enumerate(words))
            parts.append(f'<p class="note">{marked}</p>' if kind == "note" else f"<p>{marked}</p>")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"
