"""Two states of one repository beside each other: the checkout, and any commit in a worktree."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cli.refusal import ENVIRONMENT, NOT_COMPARABLE, STORAGE, USAGE, Refusal
from bench.cli.signals import postponed
from bench.machine import legible

PREFIX = "joulemark-gate-"
CODE = ("bench", "kernels", "profiles")
"""What a run of a checkout reads of it."""
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")
"""A worktree is checked out: hooks of the repository are not to hear of it."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder that holds the package ``bench`` as of a commit, or changed since."""

    root: Path
    commit: str
    changed: bool = False

    @property
    def said(self) -> str:
        """As people read it."""
        return f"{self.commit[:12]}{' with changes that are not committed' if self.changed else ''}"


def checkout_here() -> Checkout:
    """The checkout around the working directory; Refusal where there is none that holds bench."""
    try:
        root = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel"))
    except GitError as error:
        text = f"--against needs a git checkout of joulemark: {error}; run it in one"
        raise Refusal(ENVIRONMENT, text) from error
    if not _holds_bench(root):
        text = f"{legible(str(root))} holds no package bench; run it in a checkout of joulemark"
        raise Refusal(ENVIRONMENT, text)
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        changed = bool(_state(root))
    except GitError as error:
        text = f"{legible(str(root))} cannot be read as a checkout, or has no commit yet: {error}"
        raise Refusal(ENVIRONMENT, text) from error
    return Checkout(root, commit, changed)


def fingerprint(checkout: Checkout) -> str:
    """Changes when the code does: a tracked file, a new one, or another commit checked out."""
    root = checkout.root
    try:
        parts = (
            _git(root, "rev-parse", "HEAD"),
            _state(root),
            _git(root, "diff", "--binary", "HEAD", "--", *CODE),
        )
    except GitError as error:
        text = f"{legible(str(root))} cannot be read as a checkout any more: {error}"
        raise Refusal(ENVIRONMENT, text) from error
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def commit_of(ref: str, head: Checkout) -> str:
    """The commit that REF names; Refusal with the cure where it names none."""
    command = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    try:
        return _git(head.root, *command)
    except GitError as error:
        cure = f"fetch it (git fetch origin {legible(ref)}; in CI check out with all history)"
        text = f"--against {legible(ref)}: names no commit of this repository; {cure}"
        raise Refusal(USAGE, text) from error


@contextlib.contextmanager
def beside(head: Checkout, commit: str, ref: str) -> Iterator[tuple[Checkout, Path]]:
    """A commit in a detached worktree, and a folder for what runs leave; both go afterwards.

    The repository gains no more than the entry of the worktree meanwhile, a checkout nothing.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        text = f"cannot make a temporary folder: {error.strerror}; name a place with TMPDIR"
        raise Refusal(STORAGE, text) from error
    root = folder / "base"
    try:
        with postponed():
            _check_out(head, commit, root)
        if not _holds_bench(root):
            text = f"--against {legible(ref)}: its tree holds no package bench; name a later commit"
            raise Refusal(NOT_COMPARABLE, text)
        yield Checkout(root, commit), folder
    finally:
        with postponed():
            with contextlib.suppress(GitError):
                _git(head.root, "worktree", "remove", "--force", str(root))
            shutil.rmtree(folder, ignore_errors=True)


def _check_out(head: Checkout, commit: str, root: Path) -> None:
    try:
        _git(head.root, *NO_HOOKS, "worktree", "add", "--quiet", "--detach", str(root), commit)
    except GitError as error:
        text = f"cannot check out {commit[:12]} in {legible(str(root))}: {error}"
        raise Refusal(STORAGE, f"{text}; make room there or name a place with TMPDIR") from error


def _holds_bench(root: Path) -> bool:
    return (root / "bench" / "__main__.py").is_file()


def _state(root: Path) -> str:
    return _git(root, "status", "--porcelain", "--", *CODE)


class GitError(Exception):
    """What git said, on one line."""


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; Ctrl-C is for bench alone, which never leaves git's work half done."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=without_git(os.environ),
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise GitError(f"cannot run git: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(said[-1] if said else f"git {arguments[0]} exited {done.returncode}")
    return os.fsdecode(done.stdout).strip()


def without_git(environment: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Without what ties git to one repository, as a hook's environment does."""
    return {name: value for name, value in environment.items() if name not in LOCAL}


LOCAL = frozenset({
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX", "GIT_NAMESPACE",
})  # fmt: skip
