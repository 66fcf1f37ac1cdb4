"""Repair what the book's tools leave in a finished page: loads from the network, and markup that screen readers stumble over."""

from __future__ import annotations

from typing import Any

MARKUP = {
    # a list may hold only list items; the entries carry a role of their own
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    # the visible words say more ("Show code cell source"), and a spoken command has to match them
    '<summary aria-label="Toggle hidden content">': "<summary>",
}


def keep_local_scripts(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """sphinx-thebe, which Jupyter Book always loads, writes a script that names a CDN, twice; the launch buttons need only links."""
    kept: dict[tuple[str, str], Any] = {}
    for script in context.get("script_files", []):
        body = (getattr(script, "attributes", None) or {}).get("body") or ""
        name = str(getattr(script, "filename", script) or "")
        if "thebe" not in f"{name} {body}".lower():
            kept.setdefault((name, body), script)
    context["script_files"] = list(kept.values())


def mend_markup(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    for wrong, right in MARKUP.items():
        context["body"] = context.get("body", "").replace(wrong, right)


def setup(app: Any) -> dict[str, Any]:
    app.connect("html-page-context", keep_local_scripts, priority=900)
    app.connect("html-page-context", mend_markup, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
