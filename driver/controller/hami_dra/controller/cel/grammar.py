"""Parses expressions with cel-python's grammar.

Ours is the parser instance, so that the syntax of optional values, quoted field names and trailing commas can be
added; cel-python's own is a singleton of the process, and its Environment raises the recursion limit. Its patterns of
strings take time exponential in the number of backslashes where the closing quote is missing; ours take linear time.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import LarkError, UnexpectedInput

from hami_dra.controller.cel.errors import CelSyntaxError

MAX_LENGTH = 10 * 1024
# Of these a tree is built only where there are operators: else nine stand for every name and number.
_PASSED_ON = r"(?m)^(?=(?:expr|conditionalor|conditionaland|relation|addition|multiplication|unary|member|primary)\s*:)"
_READING = threading.Lock()
_ADDED = r"""
%extend member : member_optional_dot | member_optional_index
member_optional_dot : member ".?" (IDENT | QUOTED_IDENT)
member_optional_index : member "[" "?" expr "]"
%extend member_dot : member "." QUOTED_IDENT
%override list_lit : "[" [_elements [","]] "]"
%override map_lit : "{" [_entries [","]] "}"
%override exprlist : _elements
_elements : _element | _elements "," _element
_element : expr | optional
_entries : _entry | _entries "," _entry
_entry : _element ":" expr
optional : "?" expr
%override FLOAT_LIT : /-?/ DIGIT+ "." DIGIT+ EXPONENT? | /-?/ "." DIGIT+ EXPONENT? | /-?/ DIGIT+ EXPONENT
%override STRING_LIT : /"(?:[^"\\\r\n]|\\.)*"/ | /'(?:[^'\\\r\n]|\\.)*'/ | /[rR]"[^"\r\n]*"/ | /[rR]'[^'\r\n]*'/
%override MLSTRING_LIT : TEXT_3 | TEXT_3_SINGLE | RAW_3 | RAW_3_SINGLE
TEXT_3 : /"{3}(?:[^\\]|\\[\s\S])*?"{3}/
TEXT_3_SINGLE : /'{3}(?:[^\\]|\\[\s\S])*?'{3}/
RAW_3 : /[rR]"{3}[\s\S]*?"{3}/
RAW_3_SINGLE : /[rR]'{3}[\s\S]*?'{3}/
QUOTED_IDENT : /`[a-zA-Z0-9_.\-\/ ]+`/
"""


def parse(text: str) -> Tree[Token]:
    """The syntax tree, by the rules of cel-python's grammar; CelSyntaxError when the text is no expression."""
    length = len(text.encode(errors="replace"))
    if length > MAX_LENGTH:
        raise CelSyntaxError(f"has {length} bytes, at most {MAX_LENGTH} are allowed")
    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        where = f"line {error.line}, column {error.column}" if (error.line or -1) > 0 else "the end"
        raise CelSyntaxError(f"does not compile: syntax error at {where}") from error
    except LarkError as error:
        raise CelSyntaxError("does not compile: syntax error") from error


def _parser() -> Lark:
    with _READING:  # One that is warming up and one that cannot wait would else both read it.
        return _read_grammar()


@cache
def _read_grammar() -> Lark:
    # Found, not imported: the package itself would cost 20 MiB for what is one text file here.
    package = find_spec("celpy")
    assert package is not None
    assert package.origin is not None
    grammar = Path(package.origin).with_name("cel.lark").read_text(encoding="utf-8")
    return Lark(
        re.sub(_PASSED_ON, "?", grammar) + _ADDED,
        parser="lalr",
        start="expr",
        g_regex_flags=re.MULTILINE,
        lexer_callbacks={"IDENT": _literal_or_name},
        maybe_placeholders=False,
        priority="invert",
    )


def _literal_or_name(token: Token) -> Any:
    return token.update(type="BOOL_LIT") if token in ("true", "false") else token
