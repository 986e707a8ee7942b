"""The command line: parse, open, call, save, show, exit code."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence

import typer

from bench.cli.all_command import all_command
from bench.cli.audit_command import audit_command
from bench.cli.calibrate_command import calibrate_command
from bench.cli.card_command import card_command
from bench.cli.compare_command import compare_command
from bench.cli.data_power_command import data_power_command
from bench.cli.doctor_command import doctor_command
from bench.cli.gate_command import gate_command
from bench.cli.hash_command import hash_command
from bench.cli.help import Sectioned
from bench.cli.infer_command import infer_command
from bench.cli.list_command import list_command
from bench.cli.market_command import market_app
from bench.cli.migrate_command import migrate_command
from bench.cli.recover_command import recover_command
from bench.cli.refusal import BUG, USAGE, Refusal
from bench.cli.report_command import report_command
from bench.cli.run_command import SETTINGS, run_command
from bench.cli.show_command import show_command
from bench.cli.signals import refusing
from bench.cli.site_command import site_command
from bench.cli.skus_command import skus_command
from bench.cli.sweep_command import sweep_command
from bench.cli.verdict_command import verdict_command
from bench.cli.verify_command import verify_command

_PAIR = re.compile(r"[a-z]+=")

app = typer.Typer(
    name="bench",
    help="Does a joule earn more as a hash or as a token? SHA-256d and LLM inference on one device"
    " under one power meter, with a verdict.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
SHORT = {
    "all": "Hash and infer on one device, and say which earns more.",
    "run": "Run any command under the meter: its joules.",
    "verdict": "Judge stored runs by any market.",
    "compare": "Stored runs side by side, each card against the first.",
    "skus": "Cards to buy or rent, measured and predicted, in one table.",
    "report": "Stored runs as one HTML file: verdict, charts, tables.",
    "doctor": "What this machine can measure, and the cure of each fault.",
    "gate": "CI: hold a run, or the machine code, to a baseline.",
    "calibrate": "Find out how the power sensor sees.",
    "sweep": "The card under several power limits: joules, money, curtailing.",
    "hash": "The hash side alone: one kernel, or all side by side.",
    "infer": "The token side alone: a scenario at one point or many.",
    "data-power": "Joules per token by the values of the weights.",
    "audit": "Compile and count the hash kernels: a ceiling per card.",
    "list": "Stored runs, one line each.",
    "show": "One stored run, whole.",
    "recover": "Rebuild the records of runs that were killed.",
    "migrate": "Rewrite records of an older schema, beside the old ones.",
    "card": "A stored run as a compute card: terms, speed, joules.",
    "verify": "Derive stored runs again and name what differs.",
    "site": "What a MW of a site is worth: mine, lease, serve.",
    "market": "Markets: list, check, or write your own.",
}
"""What ``bench --help`` says of each, the first-class ones on top: whole on 80 columns."""
_COMMANDS: dict[str, Callable[..., int]] = {
    "all": all_command,
    "run": run_command,
    "verdict": verdict_command,
    "compare": compare_command,
    "skus": skus_command,
    "report": report_command,
    "doctor": doctor_command,
    "gate": gate_command,
    "calibrate": calibrate_command,
    "sweep": sweep_command,
    "hash": hash_command,
    "infer": infer_command,
    "data-power": data_power_command,
    "audit": audit_command,
    "list": list_command,
    "show": show_command,
    "recover": recover_command,
    "migrate": migrate_command,
    "card": card_command,
    "verify": verify_command,
    "site": site_command,
}
for _name, _command in _COMMANDS.items():
    _settings = SETTINGS if _name == "run" else None
    app.command(_name, cls=Sectioned, short_help=SHORT[_name], context_settings=_settings)(_command)
app.add_typer(market_app, name="market", short_help=SHORT["market"])


@app.callback()
def root() -> None:
    """Commands live below; this keeps ``bench all`` a sub-command."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; every failure is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with refusing():
            status = _call(spread_sets(arguments) or ["--help"])
    except Refusal as refusal:
        _complain(str(refusal))
        return refusal.status
    except BrokenPipeError:
        raise
    except Exception as error:
        return _usage(error) if hasattr(error, "format_message") else _bug()
    return status if isinstance(status, int) else 0


def _call(arguments: list[str]) -> object:
    command = typer.main.get_command(app)
    return command.main(arguments, prog_name="bench", standalone_mode=False)


def spread_sets(arguments: Sequence[str]) -> list[str]:
    """``--set btc=1 power=2`` as the parser knows it: ``--set btc=1 --set power=2``.

    What follows ``run`` belongs to another program and is left alone.
    """
    if arguments[:1] == ["run"]:
        return list(arguments)
    spread: list[str] = []
    setting = False
    for argument in arguments:
        if setting and spread[-1] != "--set" and _PAIR.match(argument):
            spread.append("--set")
        setting = argument == "--set" or (setting and bool(_PAIR.match(argument)))
        spread.append(argument)
    return spread


def _usage(error: Exception) -> int:
    """The parser's own complaint on one line."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "bench"
    text = " ".join(str(getattr(error, "format_message")()).split())  # noqa: B009 - typer's own type
    _complain(f"{text} (see {command} --help)")
    return USAGE


def _complain(text: str) -> None:
    """One line on stderr, whatever the text holds."""
    from bench.report.foreign import clean

    if sys.stderr is not None:
        print(f"bench: {clean(text)}", file=sys.stderr)


def _bug() -> int:
    import traceback

    traceback.print_exc()
    _complain("this is a bug in bench; please report the lines above")
    return BUG
