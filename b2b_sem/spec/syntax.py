"""lavaan model syntax: text in, statements with their places out.

The text is cut into statements by the rules lavaan users know (a statement ends at a line break or ``;``; a line
without an operator continues the one before; ``#`` and ``!`` start comments), and each side of an operator is parsed
by a grammar. Nothing is ever evaluated by Python. What the statements mean together (defaults, latent variables,
labels) is decided in :mod:`b2b_sem.spec.partable`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from b2b_sem.errors import ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.spec import expression as ex

if TYPE_CHECKING:
    from lark import Lark, Token

__all__ = ["Constraint", "Entry", "Modifiers", "ParsedModel", "parse_model"]

_OPERATOR = re.compile(r"=~|<~|~\*~|~~|~|==|:=|<=|>=|<|>|\||=")
_BLOCK = re.compile(r"^[ \t]*(group|level|block|class)[ \t]*:(?!=)", re.IGNORECASE)
_GROUP_BLOCK = re.compile(r"^[ \t]*group[ \t]*:[ \t]*(.*?)[ \t]*$", re.IGNORECASE)
_FORMULA_OPERATORS = ("=~", "~", "~~", "|", "~*~")
#: What other programs write where this syntax has an operator.
_ARROW = re.compile(r"<-|->|=>|<=>")
#: Characters that word processors put in the place of the ones on the keyboard.
_LOOKALIKES = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u2039\u203a", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u02dc\u223c\u223d\u301c", "~"),
    **dict.fromkeys("\u00d7\u2217\u22c5\u00b7", "*"),
}
#: Words for numbers that are none: as a label they would hide a mistake.
_NO_LABELS = ("NaN", "Inf", "NULL", "TRUE", "FALSE")

_GRAMMAR = r"""
terms: term ("+" term)*
term: factor (TIMES factor)*
?factor: variable | number | string | call
variable: NAME (":" NAME)*
number: SIGN* NUMBER
string: STRING
call: NAME "(" [factor ("," factor)*] ")"

left: NAME ("+" NAME)*

?expr: sum
?sum: product | sum PLUSMINUS product
?product: unary | product MULDIV unary
?unary: SIGN unary -> signed | power
?power: atom | atom POWER unary
?atom: NUMBER -> constant | NAME -> reference | NAME "(" expr ")" -> function | "(" expr ")"

TIMES: "*" | "?"
SIGN.2: "-" | "+"
PLUSMINUS.1: "+" | "-"
MULDIV: "*" | "/"
POWER: "^" | "**"
NAME: /(?:[^\W\d]|\.(?!\d))[\w.]*/
NUMBER: /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/
STRING: /"[^"\n]*"|'[^'\n]*'/
%ignore /[ \t\r\n]+/
"""

_EXPECTED = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a quoted text",
    "TIMES": "'*'",
    "PLUS": "'+'",
    "PLUSMINUS": "'+' or '-'",
    "SIGN": "a sign",
    "MULDIV": "'*' or '/'",
    "POWER": "'^'",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "COLON": "':'",
    "$END": "the end of the statement",
}


@dataclass(frozen=True)
class Modifiers:
    """What stands before ``*`` in a term; one value for each group, or one for all.

    ``fixed`` holds numbers and None for ``NA`` (free).
    """

    fixed: tuple[float | None, ...] = ()
    start: tuple[float, ...] = ()
    label: tuple[str, ...] = ()
    equal: str = ""
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()

    @property
    def given(self) -> bool:
        """Whether there is any modifier."""
        return self != Modifiers()

    def of_group(self, group: int) -> Modifiers:
        """Return the values of one group (from 1); a value that stands alone is that of all groups."""
        fixed, start, label, lower, upper = (
            values[group - 1 : group] if len(values) > 1 else values
            for values in (self.fixed, self.start, self.label, self.lower, self.upper)
        )
        return Modifiers(fixed, start, label, self.equal, lower, upper)  # type: ignore[arg-type]

    def clash(self, other: Modifiers) -> str:
        """Name the kind of modifier that both have; empty if there is none."""
        kinds = (
            ("fixed", "values"),
            ("start", "starting values"),
            ("label", "labels"),
            ("equal", "equalities"),
            ("lower", "lower bounds"),
            ("upper", "upper bounds"),
        )
        return next((name for kind, name in kinds if getattr(self, kind) and getattr(other, kind)), "")

    def merged(self, other: Modifiers) -> Modifiers:
        """Combine with the modifiers of the same parameter in another term of the statement."""
        return Modifiers(
            other.fixed or self.fixed,
            other.start or self.start,
            other.label or self.label,
            other.equal or self.equal,
            other.lower or self.lower,
            other.upper or self.upper,
        )


@dataclass(frozen=True)
class Entry:
    """One parameter the user wrote: ``lhs op rhs`` (rhs empty for intercepts, op ``~1``).

    ``block`` is the number of its ``group:`` block from 1, and 0 in a model without blocks.
    """

    lhs: str
    op: str
    rhs: str
    modifiers: Modifiers
    line: int
    column: int
    block: int = 0

    @property
    def text(self) -> str:
        """The statement without its modifiers, such as ``y ~ 1``."""
        return f"{self.lhs} {self.op.replace('~1', '~')} {self.rhs or '1'}"


@dataclass(frozen=True)
class Constraint:
    """``name := expression``, or ``==``, ``<``, ``>`` between expressions; `text` is the right side without blanks."""

    op: str
    left: ex.Expression
    right: ex.Expression
    text: str
    line: int
    column: int

    @property
    def name(self) -> str:
        """The defined name of a ``:=`` statement."""
        return self.left.name if isinstance(self.left, ex.Name) else ""

    @property
    def statement(self) -> str:
        """The whole statement as text, such as ``a == 2*b``."""
        return f"{ex.render(self.left)} {self.op} {self.text}"


@dataclass(frozen=True)
class ParsedModel:
    """All statements of a model, in order; ``blocks`` are the numbers or labels behind ``group:``.

    ``columns`` are products that stand in the data as columns of their name, such as ``x:z``.
    """

    text: str
    file: str | None
    entries: tuple[Entry, ...]
    constraints: tuple[Constraint, ...]
    blocks: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """The model text and where an offset in it stands."""

    text: str
    file: str | None

    def place(self, offset: int) -> tuple[int, int]:
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def fail(self, message: str, offset: int, hint: str | None = None) -> NoReturn:
        line, column = self.place(offset)
        raise ModelSyntaxError(message, file=self.file, line=line, column=column, hint=hint)


@cache
def _parser(start: str) -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, start=start, parser="lalr", maybe_placeholders=False)


def _parse(source: _Source, start: str, begin: int, end: int, side: str) -> Any:
    """Parse ``text[begin:end]`` with one rule of the grammar; positions are those of the whole text."""
    from lark import UnexpectedInput, UnexpectedToken

    piece = source.text[begin:end]
    # blanks keep every token at its true offset
    try:
        return _parser(start).parse(" " * begin + piece)
    except UnexpectedInput as error:
        position = getattr(error, "pos_in_stream", None)
        offset = begin + len(piece.rstrip()) if position is None else position
        found = source.text[offset] if offset < len(source.text) else ""
        expected: set[str] = set(getattr(error, "expected", None) or getattr(error, "allowed", None) or ())
        if isinstance(error, UnexpectedToken):
            expected = set(error.accepts or error.expected)
            found = str(error.token)
            if error.token.type == "$END":
                offset, found = begin + len(piece.rstrip()), ""
        wanted = sorted({_EXPECTED.get(e, e) for e in expected if e not in ("SIGN", "POWER")} or {"a name"})
        what = f"unexpected '{found}' {side}" if found else f"the statement ends too early {side}"
        source.fail(f"{_clip(what, 120)}; expected {_either(wanted)}", offset, _advice(source.text, offset))


def _advice(text: str, offset: int) -> str | None:
    """Say what to do about the character at `offset`, where the usual reason is known."""
    found = text[offset : offset + 1]
    before = text[:offset].rstrip(" \t\r\n")[-1:]
    if found and before == "+":
        return "there is a '+' too many before it"
    if found == ",":
        return "put '+' between two terms"
    if found == "-":
        return "terms are joined by '+'; a model has no term to subtract: leave it out"
    if found == "(":
        return "brackets belong to functions such as start(0.5)*x, to ':=' and to '=='"
    if found.isalpha() and text[offset - 1 : offset].isdigit():
        return "names start with a letter: rename the column"
    if (found.isalnum() or found == "_") and (before.isalnum() or before in "_."):
        return "names contain no blanks; put '+' between two terms"
    if found and not found.isalnum():
        return "names consist of letters, digits, '_' and '.': rename the column if this is part of its name"
    return None


def _clip(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _refuse_lookalikes(source: _Source, clean: str) -> None:
    """Name a character that looks like one of the syntax, or like nothing at all, but is another one."""
    for offset, char in enumerate(_mask_strings(clean)):
        if char.isascii() and (char.isprintable() or char in "\t\r\n"):
            continue
        meant = _LOOKALIKES.get(char) or unicodedata.normalize("NFKC", char)
        invisible = unicodedata.category(char) in ("Cc", "Cf", "Zs", "Zl", "Zp")
        if char not in _LOOKALIKES and not invisible and not (meant.isascii() and not meant.isalnum()):
            continue
        name = f"U+{ord(char):04X}" + (f" {unicodedata.name(char, '').lower()}" if unicodedata.name(char, "") else "")
        if invisible:
            spaced = unicodedata.category(char).startswith("Z")
            hint = "type an ordinary blank instead" if spaced else "delete it and type the place again"
            source.fail(f"there is an invisible character here ({name})", offset, hint)
        source.fail(
            f"'{char}' ({name}) is not a character of the model syntax",
            offset,
            hint=f"type {meant} instead; word processors and web pages replace it, a plain text editor does not",
        )


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _blank_comments(text: str) -> str:
    """Replace comments by blanks, so that every offset stays as it was."""
    out = list(text)
    quote = ""
    comment = False
    for i, char in enumerate(text):
        if char == "\n":
            quote, comment = "", False
        elif comment:
            out[i] = " "
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "#!":
            comment = True
            out[i] = " "
    return "".join(out)


def _mask_strings(text: str) -> str:
    return re.sub(r"\"[^\"\n]*\"|'[^'\n]*'", lambda m: "s" * len(m.group()), text)


def _statements(source: _Source, text: str) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Cut the text (comments blanked) into statements, (begin, end, number of the block), and name the blocks."""
    masked = _mask_strings(text)
    pieces: list[tuple[int, int]] = []
    begin = 0
    for piece in re.split(r"([;\n])", masked):
        if piece not in (";", "\n") and piece.strip():
            pieces.append((begin, begin + len(piece)))
        begin += len(piece)
    statements: list[tuple[int, int, int]] = []
    blocks: list[str] = []
    block, opened = 0, False
    for start, end in pieces:
        piece = masked[start:end]
        if _BLOCK.match(piece):
            name = _block_name(source, start, text[start:end])
            if name not in blocks:
                blocks.append(name)
            block, opened = blocks.index(name) + 1, True
        elif _OPERATOR.search(piece):
            statements.append((start, end, block))
            opened = False
        elif statements and not opened and ";" not in masked[statements[-1][1] : start]:
            statements[-1] = (statements[-1][0], end, block)
        else:
            source.fail(
                f"'{_clip(piece.strip())}' has no operator",
                start + len(piece) - len(piece.lstrip()),
                hint="write 'F =~ x1 + x2' (measurement), 'y ~ x' (regression), 'a ~~ b' (covariance), 'x ~ 1' "
                "(intercept), 'name := a*b' (defined), or 'a == b' or 'a > 0' (constraint)",
            )
    return statements, blocks


def _block_name(source: _Source, begin: int, piece: str) -> str:
    """Return what stands behind ``group:``; other kinds of blocks are refused."""
    offset = begin + len(piece) - len(piece.lstrip())
    found = _GROUP_BLOCK.match(piece)
    if found is None:
        line, column = source.place(offset)
        raise Unsupported(
            f"model blocks ('{piece.strip()}') are not available",
            file=source.file,
            line=line,
            column=column,
            hint="only blocks for groups are: 'group: 1'",
        )
    name = found[1]
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    if not name.strip():
        source.fail("the block names no group", offset, hint="write 'group: 1' or the group's label: 'group: women'")
    return name.strip()


@lru_cache(maxsize=64)  # texts are refitted many times, and the result is frozen
def parse_model(text: str, file: str | None = None) -> ParsedModel:
    """Parse lavaan model syntax.

    Parameters
    ----------
    text : str
        The model.
    file : str, optional
        Its file, named in errors.

    Returns
    -------
    ParsedModel

    Raises
    ------
    ModelSyntaxError
        With line and column (from 1), what was found and what was expected.
    Unsupported
        For valid lavaan syntax whose numbers this package does not compute.
    """
    text = re.sub(r"\r(?!\n)", "\n", text)  # old Macintosh line ends; nothing moves
    source = _Source(text, file)
    clean = _blank_comments(text)
    constraints: list[Constraint] = []
    if not clean.strip():
        raise ModelSyntaxError("the model is empty", file=file, hint="write at least one statement, as 'F =~ x1 + x2'")
    _refuse_lookalikes(source, clean)
    cleaned = _Source(clean, file)
    statements, blocks = _statements(source, clean)
    entries: list[dict[tuple[str, str, str], Entry]] = [{} for _ in range(len(blocks) + 1)]
    for begin, end, block in statements:
        masked = _mask_strings(clean[begin:end])
        found = list(_OPERATOR.finditer(masked))
        first = found[0]
        op = first.group()
        if arrow := _ARROW.search(masked):
            source.fail(
                f"'{arrow.group()}' is not an operator",
                begin + arrow.start(),
                hint="write 'y ~ x' for a path from x to y, 'F =~ x1 + x2' for measurement, and 'a < -1' with a blank "
                "for a bound; the file holds the model alone, without 'model <-' and the quotes around it",
            )
        if len(found) > 1:
            source.fail(
                f"a second operator '{found[1].group()}' in one statement",
                begin + found[1].start(),
                hint="start each statement on its own line",
            )
        middle, after = begin + first.start(), begin + first.end()
        if op == "=":
            source.fail(
                "'=' is not an operator",
                middle,
                hint="use '=~' for measurement, '~' for regression, '==' for a constraint or ':=' for a definition",
            )
        if op in _FORMULA_OPERATORS:
            if blocks and not block:
                source.fail(
                    "this statement stands before the first block, so it belongs to no group",
                    middle,
                    hint="repeat it in the block of each group",
                )
            _read_formula(cleaned, op, begin, middle, after, end, entries[block])
        elif op in (":=", "=="):
            constraints.append(_read_constraint(cleaned, op, begin, middle, after, end))
        elif op in ("<", ">", "<=", ">="):
            constraints.append(_read_constraint(cleaned, op[0], begin, middle, after, end))
        else:
            line, column = source.place(middle)
            raise Unsupported(
                f"'{op}' (formative (composite) variables) is not available",
                file=file,
                line=line,
                column=column,
                hint="measure the variable by '=~'",
            )
    written = tuple(replace(e, block=k) if k else e for k, own in enumerate(entries) for e in own.values())
    return ParsedModel(text, file, written, tuple(constraints), tuple(blocks))


def _read_formula(
    source: _Source,
    op: str,
    begin: int,
    middle: int,
    after: int,
    end: int,
    entries: dict[tuple[str, str, str], Entry],
) -> None:
    if not source.text[begin:middle].strip():
        source.fail(f"nothing stands before '{op}'", middle)
    if not source.text[after:end].strip():
        source.fail(f"nothing stands after '{op}'", middle + len(op) - 1)
    left = _parse(source, "left", begin, middle, f"before '{op}'")
    terms = _parse(source, "terms", after, end, f"after '{op}'")
    here: set[tuple[str, str, str]] = set()
    for name in left.children:
        for term in terms.children:
            entry = _read_term(source, op, name, term)
            key = (entry.lhs, entry.op, entry.rhs)
            twin = (entry.rhs, entry.op, entry.lhs) if op == "~~" else key
            old = entries.get(key) or entries.get(twin)
            if old is None:
                entries[key] = entry
            elif key in here and (entry.modifiers.given or old.modifiers.given):
                # 'y ~ a*x + start(.5)*x' describes one parameter
                if clash := old.modifiers.clash(entry.modifiers):
                    source.fail(f"one parameter with two {clash}", _offset(term.children[-1]), hint="keep one of them")
                entries[key] = Entry(*key, old.modifiers.merged(entry.modifiers), old.line, old.column)
            else:
                raise ModelSyntaxError(
                    f"'{entry.lhs} {op} {entry.rhs or '1'}' is given twice (first in line {old.line})",
                    file=source.file,
                    line=entry.line,
                    column=entry.column,
                    hint="remove one of the two",
                )
            here.add(key)


def _read_term(source: _Source, op: str, left: Token, term: Any) -> Entry:
    parts = term.children
    *prefix, target = parts[::2]
    signs = [str(s) for s in parts[1::2]]
    offset = _offset(target)
    line, column = source.place(offset)
    if target.data == "number":
        value = _number(source, target)
        if op != "~" or value not in (0.0, 1.0):
            source.fail(
                "expected a variable name, found a number",
                offset,
                hint="put modifiers before the name, as '0.5*x'; '1' stands for the intercept in 'x ~ 1'",
            )
        modifiers = _modifiers(source, prefix, signs)
        if value == 0.0:
            modifiers = modifiers.merged(Modifiers(fixed=(0.0,)))
        return Entry(str(left), "~1", "", modifiers, line, column)
    if target.data != "variable":
        hint = "write '0.5*x', 'a*x' or 'NA*x'"
        if target.data == "string":
            hint = "names stand without quotes; rename a column whose name has blanks or other signs"
        source.fail("expected a variable name at the end of the term", offset, hint)
    names = [str(t) for t in target.children]
    if len(names) > 1 and (op != "~" or len(names) > 2 or str(left) in names):
        source.fail(
            f"the product '{':'.join(names)}' cannot stand here",
            offset,
            hint="a product of two variables predicts a third one: 'y ~ x + z + x:z'",
        )
    if len(names) > 1:
        return Entry(str(left), op, ":".join(names), _modifiers(source, prefix, signs), line, column)
    name = names[0]
    if name == "NA":
        source.fail("NA is a modifier, not a variable", offset, hint="write 'NA*x' to free a parameter")
    if op == "=~" and name == left:
        source.fail(f"'{name}' cannot measure itself", offset)
    if op == "|" and not re.fullmatch(r"t[1-9]\d*", name):
        source.fail(f"'{name}' is not a threshold", offset, hint=f"thresholds are t1, t2, ...: '{left} | t1 + t2'")
    if op == "~*~" and name != left:
        source.fail(
            f"'{left} ~*~ {name}' names two variables", offset, hint=f"write '{left} ~*~ {left}': the scale of {left}"
        )
    if op == "~" and name == left:
        source.fail(f"'{name}' is regressed on itself", offset)
    return Entry(str(left), op, name, _modifiers(source, prefix, signs), line, column)


def _modifiers(source: _Source, factors: list[Any], signs: list[str]) -> Modifiers:
    out = Modifiers()
    for factor, sign in zip(factors, signs, strict=False):
        new = _modifier(source, factor, start=sign == "?")
        if clash := out.clash(new):
            source.fail(f"one parameter with two {clash}", _offset(factor), hint="keep one of them")
        out = out.merged(new)
    return out


def _modifier(source: _Source, factor: Any, *, start: bool) -> Modifiers:
    offset = _offset(factor)
    kind = factor.data
    if start and kind != "number":
        source.fail("'?' stands after a number, the starting value", offset, hint="write '0.5?x', or 'a*x' for a label")
    if kind == "number":
        value = _number(source, factor)
        return Modifiers(start=(value,)) if start else Modifiers(fixed=(value,))
    if kind == "string":
        return Modifiers(label=(_label(source, _text(factor), offset),))
    if kind == "variable":
        if len(factor.children) > 1:
            source.fail("a label cannot contain ':'", offset)
        name = str(factor.children[0])
        return Modifiers(fixed=(None,)) if name == "NA" else Modifiers(label=(_label(source, name, offset),))
    function, *arguments = factor.children
    function = str(function)
    if function in ("start", "label", "lower", "upper") and len(arguments) == 1 and _is_vector(arguments[0]):
        arguments = arguments[0].children[1:]  # start(c(0.5, 0.7))*x
    if not arguments:
        source.fail(f"{function}() needs an argument", offset)
    if function == "c":
        kinds = {a.data if not _is_na(a) else "number" for a in arguments}
        if kinds == {"number"}:
            return Modifiers(fixed=tuple(None if _is_na(a) else _number(source, a) for a in arguments))
        if kinds <= {"variable", "string"}:
            return Modifiers(label=tuple(_label(source, _text(a), _offset(a)) for a in arguments))
        source.fail("c() holds either numbers or labels, one for each group", offset)
    if function == "start":
        if any(a.data != "number" for a in arguments):
            source.fail("start() takes numbers", offset, hint="write 'start(0.5)*x'")
        return Modifiers(start=tuple(_number(source, a) for a in arguments))
    if function in ("equal", "label"):
        if any(a.data not in ("variable", "string") for a in arguments) or (function == "equal" and len(arguments) > 1):
            source.fail(f"{function}() takes a text", offset, hint=f"write '{function}(\"...\")*x'")
        if function == "equal":
            return Modifiers(equal=re.sub(r"\s+", "", _text(arguments[0])))
        return Modifiers(label=tuple(_label(source, _text(a), _offset(a)) for a in arguments))
    if function in ("lower", "upper"):
        if any(a.data != "number" for a in arguments):
            source.fail(f"{function}() takes numbers", offset, hint=f"write '{function}(0)*x'")
        numbers = tuple(_number(source, a) for a in arguments)
        return Modifiers(lower=numbers) if function == "lower" else Modifiers(upper=numbers)
    if function in ("prior", "efa", "rv"):
        line, column = source.place(offset)
        raise Unsupported(
            f"the modifier {function}() is not available",
            file=source.file,
            line=line,
            column=column,
            hint="remove it",
        )
    source.fail(
        f"unknown modifier '{function}()'.{did_you_mean(function, ('start', 'equal', 'label', 'c', 'lower', 'upper'))}",
        offset,
        hint="known modifiers: a number, NA, a label, c(), start(), equal(), label(), lower(), upper()",
    )


def _is_vector(factor: Any) -> bool:
    return bool(factor.data == "call" and str(factor.children[0]) == "c")


def _is_na(factor: Any) -> bool:
    return bool(factor.data == "variable" and [str(t) for t in factor.children] == ["NA"])


def _text(factor: Any) -> str:
    text = ":".join(str(t) for t in factor.children)
    return text[1:-1] if factor.data == "string" else text


def _label(source: _Source, text: str, offset: int) -> str:
    if text in _NO_LABELS:
        source.fail(f"'{text}' is neither a number nor a label", offset, hint="write NA to free a parameter")
    if not re.fullmatch(r"(?:[^\W\d]|\.(?!\d))[\w.]*", text):
        source.fail(f"'{text}' cannot be a label", offset, hint="use letters, digits, '.' and '_'")
    return text


def _number(source: _Source, factor: Any) -> float:
    value = float(factor.children[-1])
    if math.isinf(value):
        source.fail("this number is too large", _offset(factor), hint="write a number below 1e300")
    return -value if sum(str(t) == "-" for t in factor.children[:-1]) % 2 else value


def _offset(tree: Any) -> int:
    while not hasattr(tree, "start_pos"):
        tree = tree.children[0]
    return int(tree.start_pos)


def _read_constraint(source: _Source, op: str, begin: int, middle: int, after: int, end: int) -> Constraint:
    line, column = source.place(begin + len(source.text[begin:middle]) - len(source.text[begin:middle].lstrip()))
    for a, b, where in ((begin, middle, "before"), (after, end, "after")):
        if not source.text[a:b].strip():
            source.fail(f"nothing stands {where} '{op}'", middle)
    right = _expression(source, _parse(source, "expr", after, end, f"after '{op}'"))
    text = re.sub(r"\s+", "", source.text[after:end])
    if op == ":=":
        left = _parse(source, "left", begin, middle, "before ':='")
        if len(left.children) != 1:
            source.fail("':=' defines one name", _offset(left))
        token = left.children[0]
        return Constraint(op, ex.Name(str(token), *source.place(token.start_pos)), right, text, line, column)
    tree = _expression(source, _parse(source, "expr", begin, middle, f"before '{op}'"))
    return Constraint(op, tree, right, text, line, column)


def _expression(source: _Source, tree: Any) -> ex.Expression:
    kind = tree.data
    if kind == "constant":
        return ex.Number(float(tree.children[0]))
    if kind == "reference":
        token = tree.children[0]
        return ex.Name(str(token), *source.place(token.start_pos))
    if kind == "signed":
        sign, operand = tree.children
        inner = _expression(source, operand)
        return ex.Negative(inner) if str(sign) == "-" else inner
    if kind == "function":
        token, operand = tree.children
        if str(token) not in ex.FUNCTIONS:
            source.fail(
                f"unknown function '{token}'.{did_you_mean(str(token), ex.FUNCTIONS)}",
                token.start_pos,
                hint="known functions: " + ", ".join(ex.FUNCTIONS),
            )
        return ex.Call(str(token), _expression(source, operand))
    left, op, right = tree.children
    return ex.Binary(str(op).replace("**", "^"), _expression(source, left), _expression(source, right))
