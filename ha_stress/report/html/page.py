"""The page: sections in their order, style and script inside. Pure but for reading those two files of the package."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files

from ha_stress import __version__
from ha_stress.report.html import figures, sections
from ha_stress.report.html.requests import by_request
from ha_stress.report.html.view import view_of
from ha_stress.report.run import Run
from ha_stress.report.verdict import verdict_of

#: Nothing may be loaded from anywhere, whatever a URL or an answer may contain.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def page_of(run: Run) -> str:
    view = view_of(run)
    body = (
        sections.header(run, verdict_of(run)),
        sections.tiles(view),
        figures.rate_section(view),
        figures.latency_section(view),
        by_request(run),
        sections.judged(run),
        sections.outcomes(run),
        sections.books(run),
        sections.plan(run),
        sections.failovers(run),
        sections.environment(run),
        sections.again(run),
        sections.seconds_table(view),
    )
    title = escape(f"{run.task['name']} - HA Stress")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<meta name="generator" content="ha-stress {__version__}"><title>{title}</title>'
        f"<style>{_resource('style.css')}</style></head><body><main>{''.join(body)}</main>"
        f'<div id="tip" role="status" hidden></div><script>{_resource("hover.js")}</script></body></html>\n'
    )


@cache
def _resource(name: str) -> str:
    return files("ha_stress.report.html").joinpath(name).read_text(encoding="utf-8")
