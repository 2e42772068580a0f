"""What `rill` takes on its command line."""

import argparse
import math
import re

_EXIT_CODES = """exit codes:
  0    complete, or done as asked
  1    the run failed or was cancelled, or the function failed
  2    the input or the options cannot be used
  3    nobody answers at the URL, there is no such run, or the connection was lost for good
  130  left with Ctrl-C
"""
_EXAMPLES = """examples:
  rill demo                        grade a sample call, section by section
  rill dev                         the whole stack on this machine, until Ctrl-C
  rill grade call.txt              grade a call: plain text, JSON, or JSON Lines
  rill grade - --json < call.txt   the result alone, as JSON
  rill grade call.txt --async      leave it to the queue; `rill attach` shows it
  rill attach RUN_ID               follow a run, while it runs or later
  rill invoke grading events/grading/url-stream.json
                                   one event through AWS's Lambda emulator
  rill redrive grading             failed runs of a queue get another chance
  rill model --fault 429:2         the scripted model alone
"""
_GRADE_EXAMPLES = """FILE can be
  a grading request        {"session_id": "s1", "transcript": [{"line_number": 1, ...}, ...]}
  a list of lines          [{"speaker": "rep", "text": "Hi"}, ...] or ["Rep: Hi", ...]
  plain text               Rep: Hi, how can I help?
                           Customer: I need a return label.
  JSON Lines               one of these on each line; choose with --line N

examples:
  rill grade call.txt --rep "Anna Lee"
  rill grade calls.jsonl --line 3 --mode single
  rill grade call.txt --async
  rill grade call.json --url https://abc.lambda-url.eu-west-1.on.aws/ --iam

"""
_LEAVING = """A connection that drops comes back by itself, and goes on where it was.
Ctrl-C leaves a run of a stack that stays up, and does not cancel it; a stack that the command started
ends with it.

"""
_ATTACH_EXAMPLES = """examples:
  rill attach RUN_ID               all of it from the start, then live
  rill attach RUN_ID --json        wait for the result, and print it alone

"""
_RESUME_EXAMPLES = """examples:
  rill resume RUN_ID               what has failed or was cancelled; finished steps are kept
  rill resume RUN_ID --step scores
                                   that step and those that rest on it, even if they are finished

"""
_REDRIVE_EXAMPLES = """examples:
  rill redrive grading --dry-run   which runs are there, in the running `rill dev`
  rill redrive grading             move them
  rill redrive --queue https://sqs.eu-west-1.amazonaws.com/123456789012/rill-prod-GradingQueue-1
                                   on AWS, by this machine's settings; the stack's output GradingQueueUrl

"""


def _pace(text: str) -> float:
    try:
        pace = float(text)
    except ValueError:
        pace = -1.0
    if not 0 <= pace < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens a second")
    return pace


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65000:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65000")
    return int(text)


def _line(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no line number, counted from 1")
    return int(text)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an event")
    return int(text)


def _run_id(text: str) -> str:
    # It becomes a part of an address.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a run or a step")
    return text


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    rill = argparse.ArgumentParser(
        prog="rill",
        description="AI workflows as Lambda functions that stream, run and looked at on this machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = rill.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _demo(commands.add_parser("demo", help="grade a bundled sample call and watch it happen"))
    _dev(commands.add_parser("dev", help="run the whole stack until Ctrl-C"))
    _grade(
        commands.add_parser(
            "grade",
            help="grade a call from a file",
            epilog=_GRADE_EXAMPLES + _LEAVING + _EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _runs(commands)
    _invoke(
        commands.add_parser(
            "invoke",
            help="run one event through AWS's Lambda emulator, without Docker",
            epilog="example:\n  rill invoke grading events/grading/url-stream.json\n",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _redrive(
        commands.add_parser(
            "redrive",
            help="move messages from a dead-letter queue back to its queue",
            epilog=_REDRIVE_EXAMPLES + _EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    commands.add_parser("model", help="the scripted, OpenAI-compatible model alone (rill model --help)")
    return rill


def _scripted(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scripted", action="store_true", help="the scripted model, even with a provider's key set"
    )


def _paced(command: argparse.ArgumentParser, default: float) -> None:
    command.add_argument(
        "--pace",
        type=_pace,
        default=default,
        metavar="N",
        help="tokens a second of the scripted model, 0 for no limit (default: %(default)g)",
    )
    command.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        help="what goes wrong in the scripted model, such as 429:2 or scores=cut@5:once; may be repeated",
    )


def _fault(text: str) -> str:
    from local.model.faults import BadFault, parse

    try:
        parse(text)
    except BadFault as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text


def _demo(command: argparse.ArgumentParser) -> None:
    _paced(command, 60.0)  # slow enough to be watched
    command.add_argument("--single", action="store_true", help="all sections out of one model call")
    _scripted(command)


def _dev(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help="of the page; functions follow (default: 8000 or the next free)",
    )
    command.add_argument(
        "--dynamodb",
        choices=["moto", "local"],
        default="moto",
        help="moto forgets when it ends; local is AWS's DynamoDB Local, which needs Java and keeps its data"
        " in .rill/dynamodb (default: %(default)s)",
    )
    _paced(command, 100.0)
    _scripted(command)


def _grade(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="the call; - reads standard input")
    _reached(command, "the one of a running `rill dev`, or a stack of its own")
    command.add_argument("--json", action="store_true", help="print the result alone, as JSON")
    command.add_argument(
        "--async",
        dest="later",
        action="store_true",
        help="do not wait: leave the run to the queue, and print its id",
    )
    command.add_argument(
        "--mode", choices=["multi", "single"], help="sections in parallel model calls, or in one"
    )
    command.add_argument("--session-id", metavar="ID", help="what the result is stored under")
    command.add_argument("--rep", metavar="NAME", help="who is the rep in a transcript with names")
    command.add_argument("--line", type=_line, metavar="N", help="which call of a JSON Lines file")
    _scripted(command)


def _reached(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("--url", help=f"of the grading function (default: {default})")
    command.add_argument(
        "--iam",
        action="store_true",
        help="sign the request for a URL with IAM, by this machine's credentials",
    )


def _runs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands about a run that exists."""
    raw = argparse.RawDescriptionHelpFormatter
    attach = commands.add_parser(
        "attach", help="follow a run", epilog=_ATTACH_EXAMPLES + _EXIT_CODES, formatter_class=raw
    )
    cancel = commands.add_parser(
        "cancel", help="end a run; what it has is kept", epilog=_EXIT_CODES, formatter_class=raw
    )
    resume = commands.add_parser(
        "resume",
        help="go on with a run that failed or was cancelled",
        epilog=_RESUME_EXAMPLES + _EXIT_CODES,
        formatter_class=raw,
    )
    for command in (attach, cancel, resume):
        command.add_argument("run_id", type=_run_id, metavar="RUN_ID", help="as `rill grade` shows it")
        _reached(command, "the one of a running `rill dev`")
    attach.add_argument(
        "--after",
        type=_number,
        default=0,
        metavar="N",
        help="leave out its first N events; the result at the end is whole all the same",
    )
    resume.add_argument("--step", type=_run_id, metavar="STEP", help="do this step again")
    for command in (attach, resume):
        command.add_argument("--json", action="store_true", help="print the result alone, as JSON")


def _invoke(command: argparse.ArgumentParser) -> None:
    command.add_argument("function", metavar="FUNCTION", help="its name or logical id in template.yaml")
    command.add_argument("event", metavar="EVENT.json", help="the event; - reads standard input")
    command.add_argument(
        "--raw", action="store_true", help="print the answer as the emulator gives it, prelude and all"
    )
    _scripted(command)


def _redrive(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "function", metavar="FUNCTION", nargs="?", help="whose queue, in the running `rill dev`"
    )
    command.add_argument("--queue", metavar="NAME_OR_URL", help="a queue on AWS instead")
    command.add_argument("--dry-run", action="store_true", help="only list them")
