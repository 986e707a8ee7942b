"""Dossiers as one HTML file that opens offline: no request, no code but its own, by hash."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bench.report.dossier import Dossier
from bench.report.exports import MissingWriter, numeric, texts
from bench.report.figures import Figure
from bench.report.foreign import clean
from bench.report.sheet import caption

if TYPE_CHECKING:
    from jinja2 import Environment

JINJA_PIP = 'pip install "joulemark[report]"'
SCRIPTS = ("d3.min.js", "plot.umd.min.js", "report.js")
STYLE, TEMPLATE, LICENCES, ADVICE = "report.css", "report.html", "LICENSES.txt", "advice.json"


@cache
def asset(name: str) -> str:
    """A file of the page's own, as shipped."""
    return files("bench.report").joinpath("assets", name).read_text(encoding="utf-8")


def advice() -> dict[str, str]:
    """What to do about each validity code, by its name."""
    found: dict[str, str] = json.loads(asset(ADVICE))
    return found


def render(dossiers: Sequence[Dossier]) -> str:
    """One page for all runs; MissingWriter without Jinja2."""
    template = _environment().get_template(TEMPLATE)
    from markupsafe import Markup

    scripts = [asset(name) for name in SCRIPTS]
    return template.render(
        dossiers=dossiers,
        policy=policy(scripts, asset(STYLE)),
        style=Markup(asset(STYLE)),
        scripts=[Markup(script) for script in scripts],
        licences=asset(LICENCES),
        advice=advice(),
    )


def policy(scripts: Sequence[str], style: str) -> str:
    """The page's Content-Security-Policy: these scripts, this style, no network (CSP Level 3)."""
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)};"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _environment() -> Environment:
    try:
        from jinja2 import BaseLoader, Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise MissingWriter(f"a report needs Jinja2: {JINJA_PIP}") from error
    loader: BaseLoader = FunctionLoader(asset)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clean": clean,
        "caption": lambda sheet: clean(caption(sheet)),
        "numeric": numeric,
        "texts": texts,
        "data": _data,
    }
    return made


def _data(figure: Figure) -> Any:
    """A chart's data for a script element, from which no text can break out."""
    from markupsafe import Markup

    text = json.dumps(figure.data, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)
