"""The part of an export that needs torch, in a process of its own.

A signal that raises inside a converter is swallowed there, or makes it crash (both
seen with litert-torch 0.10.0). A process can be ended at any moment; whatever it began
lies in one folder, temporary files too, which this process removes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edge_runtime.errors import TiedgeError
from export.order import Order, is_function
from export.output_folder import replacing_folder, writing_to

EXPECTED_FAILURE = 3
"""Exit status that says: what stands on stdout is the error."""
BUG = 4
"""Exit status that says: a traceback stands on stderr."""

FOLDER_OF_PACKAGE = Path(__file__).resolve().parent.parent


def export_apart(target: str, order: Order) -> Path:
    """Return the folder of the bundle that a process of its own made.

    Its progress goes to stderr. Raises TiedgeError with its expected failure, or where
    a converter ended it (as LLVM does on a full disk, without a word), and SystemExit
    where it met a bug and told of it.
    """
    with replacing_folder(order.output) as draft:
        temporary = draft.parent / "temporary"
        temporary.mkdir()
        words = (*_words(target, order), str(draft))
        status, said = _run(words, {"TMPDIR": str(temporary)})
        if status == EXPECTED_FAILURE:
            raise TiedgeError(said.rstrip("\n"))
        if status == BUG:
            raise SystemExit(1)
        if status:
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise TiedgeError(
                f"{target}: a converter ended the export ({how}); memory or the"
                f" disk of {order.output} may be full"
            )
    return order.output.resolve()


def _run(words: Sequence[str], changes: dict[str, str]) -> tuple[int, str]:
    """Return exit status and output of a process; an interrupt ends it, too."""
    others = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(FOLDER_OF_PACKAGE), others]))
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path} | changes,
        start_new_session=True,  # Control-C reaches this process alone
    ) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


def _words(target: str, order: Order) -> tuple[str, ...]:
    return (
        target,
        str(order.output),
        ",".join(order.formats),
        ",".join(order.precisions),
        "allowed" if order.allow_duplicates else "",
    )


def export_here(words: Sequence[str]) -> None:
    """Export what `words` say into a folder that is there, in this process."""
    target, output, formats, precisions, duplicates, draft = words
    order = Order(
        Path(output),
        tuple(formats.split(",")),
        tuple(precisions.split(",")),
        bool(duplicates),
    )
    # Late: they need torch, and the process that waits does not.
    from export.pack import export_into
    from export.plans import plan_of

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    with ExitStack() as stack:
        if is_function(target):
            from export.convert import modules_of, own_plan
            from export.own_module import entries_of
            from export.trial import evaluated

            entries = entries_of(target)
            stack.enter_context(evaluated(modules_of(entries)))
            plan = own_plan(entries, order.output)
        else:
            plan = plan_of(Path(target))
        with writing_to(order.output):
            export_into(Path(draft), plan, order, say)


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints is no answer
    try:
        export_here(sys.argv[1:])
    except TiedgeError as error:
        print(error, file=answer, flush=True)
        sys.exit(EXPECTED_FAILURE)
    except Exception:
        traceback.print_exc()
        sys.exit(BUG)
