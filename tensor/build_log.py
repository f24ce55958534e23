"""What an OpenCL compiler says, in one form: file, line, column, the line itself and a caret below it.

Compilers agree on little: `mine.cl:3:10: error: what` (clang, as at Intel, NVIDIA and AMD),
`error: mine.cl:3:10: what` (PoCL 3), `"mine.cl", line 3: error: what` (AMD's older one). What fits none of
these is shown as it came. Line numbers are those of the files: text that is put together from several says
where each begins with #line, which compilers follow (NVIDIA's does not), and so does `lines_by_place`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_MOST_MESSAGES = 10
_KIND = r"(?P<kind>fatal error|error|warning|note)"
_PLACE = r"(?P<file>[^\s:]*):(?P<line>\d+):(?P<column>\d+)"
_FORMS = (
    re.compile(rf"^{_PLACE}: {_KIND}: (?P<what>.*)"),
    re.compile(rf"^{_KIND}: {_PLACE}(?: <Spelling=[^>]*>)?: (?P<what>.*)"),
    re.compile(rf'^"(?P<file>[^"]*)", line (?P<line>\d+): {_KIND}: *(?P<what>.*)'),
)
_WHOLE_TEXT = "<kernel>"  # NVIDIA's name for it; lines are then counted from its very beginning
_LINE_DIRECTIVE = re.compile(r'^#line (\d+) "(.*)"$')

Place = tuple[str, int]


@dataclass(frozen=True)
class Message:
    """One thing that a compiler says; lines and columns count from 1, and column 0 is not known."""

    kind: str
    file: str
    line: int
    column: int
    what: str

    def shown(self, lines: dict[Place, str], places: Sequence[Place], main_file: str) -> str:
        """The message with its line of source and a caret."""
        place = (self.file, self.line)
        if self.file == _WHOLE_TEXT and self.line <= len(places):
            place = places[self.line - 1]
        elif place not in lines:  # drivers have names of their own for text without a name
            place = (main_file, self.line)
        column = f":{self.column}" if self.column else ""
        text = lines.get(place)
        kind = "" if self.kind == "error" else f"{self.kind}: "
        shown = f"  {place[0]}:{place[1]}{column}: {kind}{self.what}"
        return shown if text is None else f"{shown}\n{_with_caret(text, self.column)}"


def messages(log: str) -> list[Message]:
    """The messages in a build log, in its order."""
    found: list[Message] = []
    continued = False
    for line in log.splitlines():
        match = next((match for form in _FORMS if (match := form.match(line.strip()))), None)
        if match is not None:
            found.append(_message(match))
        elif continued and line.strip():  # the older form breaks long messages
            found[-1] = replace(found[-1], what=line.strip())
        continued = match is not None and not match["what"]
    return found


def _message(match: re.Match[str]) -> Message:
    parts = match.groupdict()
    kind = parts["kind"].removeprefix("fatal ")
    return Message(kind, parts["file"], int(parts["line"]), int(parts.get("column") or 0), parts["what"])


def errors_shown(log: str, source: str, options: Sequence[str]) -> str:
    """The errors of a build log with the source lines that they point at, and what was defined; the log
    itself where nothing in it is understood."""
    found = messages(log)
    chosen = _errors_with_notes(found)
    if not chosen:
        return log
    more = len(chosen) - _MOST_MESSAGES
    end = [f"  … and {more} more"] if more > 0 else []
    return "\n".join([*_shown(chosen[:_MOST_MESSAGES], source), *end, in_force(source, options)])


def warnings_shown(log: str, source: str) -> str:
    """The warnings of a build log in the same form; empty if there are none."""
    return "\n".join(_shown([each for each in messages(log) if each.kind == "warning"], source))


def _shown(chosen: Sequence[Message], source: str) -> list[str]:
    lines, places, main_file = lines_by_place(source), _places(source), _main_file(source)
    return [each.shown(lines, places, main_file) for each in chosen]


def _errors_with_notes(found: Sequence[Message]) -> list[Message]:
    """Errors, each with the notes that follow it ("expanded from macro …")."""
    chosen: list[Message] = []
    of_error = False
    for each in found:
        of_error = each.kind == "error" or (each.kind == "note" and of_error)
        if of_error:
            chosen.append(each)
    return chosen


def in_force(source: str, options: Sequence[str]) -> str:
    """One line that says what the text was compiled with: the #defines put in front of it, and options."""
    head = source.partition("#line ")[0]
    defines = [line.removeprefix("#define ") for line in head.splitlines() if line.startswith("#define ")]
    defined = ", ".join(f"#define {each}" for each in defines) or "no #define"
    return f"  compiled with {defined} and options {' '.join(options)}"


def source_label(source: str) -> str:
    """The file that source text begins with, as "elementwise."; empty for users' text."""
    file = _main_file(source)
    return "" if file in ("", "source") else f"{Path(file).stem}."


def specialised_to(source: str) -> str:
    """The expression that source text computes, if it is made for one: " a + b"."""
    found = re.search(
        r"^#define (?:EXPRESSION|COMBINE\(p, ?q\)) (.+)$", source.partition("#line ")[0], re.MULTILINE
    )
    return f" {found[1]}" if found else ""


def lines_by_place(source: str) -> dict[Place, str]:
    """Each line of text under the file and number that its #line directives give it."""
    texts = source.splitlines()
    return {
        place: text
        for place, text in zip(_places(source), texts, strict=True)
        if not _LINE_DIRECTIVE.match(text)
    }


def _places(source: str) -> list[Place]:
    """The file and number of each line of the whole text."""
    places: list[Place] = []
    file, number = "", 0
    for text in source.splitlines():
        number += 1
        directive = _LINE_DIRECTIVE.match(text)
        if directive:
            number, file = int(directive[1]) - 1, directive[2]
        places.append((file, number))
    return places


def _main_file(source: str) -> str:
    first = next((each for each in map(_LINE_DIRECTIVE.match, source.splitlines()) if each), None)
    return first[2] if first else ""


def _with_caret(text: str, column: int) -> str:
    """The line, and below it a caret under the column, which compilers count in bytes."""
    if not column:
        return f"    {text}"
    before = text.encode()[: column - 1].decode(errors="ignore")
    blank = "".join("\t" if each == "\t" else " " for each in before)
    return f"    {text}\n    {blank}^"
