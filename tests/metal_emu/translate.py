"""Turn the Metal text of a kernel into a unit of C++ to run, or of C++ for OpenCL to check.

Nearly all of the text reaches the compiler as it is, line by line. Four things change:

1. declarations of threadgroup variables become references to memory that a threadgroup shares
   (other uses of the word, in types of pointers, are left to the headers);
2. attributes, `[[...]]`, go, after the parameters' have been read;
3. floating literals get an `f`, as Metal has no double;
4. MLX's explicit instantiation of a template goes; what calls the kernel names the instance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import TranslationError

_POSITIONS = {
    "thread_position_in_grid": "vector(p.thread_in_grid)",
    "thread_position_in_threadgroup": "vector(p.thread_in_threadgroup)",
    "threadgroup_position_in_grid": "vector(p.threadgroup_in_grid)",
    "threads_per_threadgroup": "vector(p.threadgroup_size)",
    "dispatch_threads_per_threadgroup": "vector(p.full_threadgroup_size)",
    "threads_per_grid": "vector(p.grid_size)",
    "threadgroups_per_grid": "vector(p.threadgroups_in_grid)",
    "thread_index_in_threadgroup": "p.thread_index",
    "thread_index_in_simdgroup": "p.lane",
    "simdgroup_index_in_threadgroup": "p.simdgroup",
    "simdgroups_per_threadgroup": "p.simdgroups",
    "dispatch_simdgroups_per_threadgroup": "p.full_simdgroups",
    "threads_per_simdgroup": "emu::kSimdWidth",
    "thread_execution_width": "emu::kSimdWidth",
}
"""Attributes of parameters, as expressions over an `emu::Position p`."""

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_ATTRIBUTE = re.compile(r"\[\[[^\[\]]*\]\]")
_INSTANCE = re.compile(r"\ntemplate \[\[host_name\([^\n]*\]\] decltype\([^\n]*\) ([^\n]*);\n")
_SIGNATURE = re.compile(r"\[\[kernel\]\]\s+void\s+(\w+)\s*\((.*?)\)\s*\{\n", re.S)
_PARAMETER = re.compile(r"(.+?)\b(\w+)\s*\[\[\s*(\w+)\s*(?:\(\s*(\d+)\s*\))?\s*\]\]", re.S)
_LITERAL = re.compile(
    r"(?<![\w.])((?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)([fFhH]?)(?![\w.])"
)
_DECLARATOR = r"\w+\s*(?:\[[^\]]*\]\s*)*"
_TYPE = r"\w+(?:::\w+)*(?:\s*<[^<>;]*>)?"
_THREADGROUP_VARIABLES = re.compile(
    rf"\bthreadgroup\s+({_TYPE})\s+({_DECLARATOR}(?:,\s*{_DECLARATOR})*);"
)
_INITIALISED = re.compile(rf"\bthreadgroup\s+{_TYPE}\s+{_DECLARATOR}[={{]")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the kernel's function; `source` is a buffer's index or an attribute."""

    type: str
    name: str
    source: int | str


@dataclass(frozen=True)
class _Parts:
    parameters: list[Parameter]
    instance: str
    """What to call: the function's name, with its template arguments."""
    text: str


def executable_unit(source: str, name: str) -> str:
    """C++ that defines `emu_kernel`, which the executor runs for each thread."""
    parts = _take_apart(source, name)
    arguments = []
    for parameter in parts.parameters:
        if isinstance(parameter.source, str):
            arguments.append(_POSITIONS[parameter.source])
        elif parameter.type.endswith("&"):
            arguments.append(f"*({parameter.type[:-1]}*)buffers[{parameter.source}]")
        else:
            arguments.append(f"({parameter.type})buffers[{parameter.source}]")
    return f"""#include "metal_stdlib"
namespace metal {{
namespace user {{
{parts.text}
#line 1 "glue"
inline uint3 vector(emu::Uint3 v) {{ return uint3(v.x, v.y, v.z); }}
inline void call([[maybe_unused]] const emu::Position& p, [[maybe_unused]] void** buffers) {{
  {parts.instance}({", ".join(arguments)});
}}
}}  // namespace user
}}  // namespace metal
void emu_kernel(const emu::Position& p, void** buffers) {{ metal::user::call(p, buffers); }}
"""


def strict_unit(source: str, name: str) -> str:
    """The same for clang to read as C++ for OpenCL: with real address spaces, and never run."""
    parts = _take_apart(source, name)
    parameters = ", ".join(f"{p.type} {p.name}" for p in parts.parameters)
    return f"""#include "metal_strict.h"
namespace metal {{
namespace user {{
{parts.text}
#line 1 "glue"
void call({parameters}) {{
  {parts.instance}({", ".join(p.name for p in parts.parameters)});
}}
}}  // namespace user
}}  // namespace metal
"""


def _take_apart(source: str, name: str) -> _Parts:
    # Without comments every pattern below is simpler, and none is fooled by their words.
    source = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n") or " ", source)
    instance = _INSTANCE.search(source)
    if instance:
        source = source[: instance.start()] + "\n" + source[instance.end() :]
    signature = _SIGNATURE.search(source)
    if not signature:
        raise TranslationError(f"{name}: no [[kernel]] function is in the text")
    header, body = source[: signature.start()], source[signature.end() :]
    parameters = [_parameter(text, name) for text in _split(signature[2])]
    # So that compilers and sanitizers give the lines of the `.metal` file.
    text = f'#line 1 "{name}.header"\n{header}{signature[0]}#line 1 "{name}.metal"\n{body}'
    return _Parts(parameters, instance[1] if instance else signature[1], _to_cpp(text))


def _split(parameters: str) -> list[str]:
    """At commas outside template arguments."""
    return [text for text in re.split(r",(?![^<>]*>)", parameters) if text.strip()]


def _parameter(text: str, name: str) -> Parameter:
    match = _PARAMETER.fullmatch(text.strip())
    if not match:
        raise TranslationError(f"{name}: cannot read the parameter {text.strip()!r}")
    kind, parameter, attribute, index = match.groups()
    if attribute != "buffer" and attribute not in _POSITIONS:
        raise TranslationError(f"{name}: the emulator knows no attribute {attribute!r}")
    return Parameter(kind.strip(), parameter, int(index) if attribute == "buffer" else attribute)


def _to_cpp(text: str) -> str:
    text = _LITERAL.sub(_literal, _ATTRIBUTE.sub("", text))
    initialised = _INITIALISED.search(text)
    if initialised:
        raise TranslationError(f"Metal gives threadgroup memory no initial value: {initialised[0]}")
    count = 0

    def declare(match: re.Match[str]) -> str:
        nonlocal count
        declarations = []
        for declarator in re.findall(_DECLARATOR, match[2]):
            variable, dims = re.match(r"(\w+)\s*(.*)", declarator, re.S).groups()  # type: ignore[union-attr]
            declarations.append(
                f"typedef {match[1]} {variable}_memory{dims.strip()}; "
                f"threadgroup {variable}_memory& {variable} = "
                f"emu::threadgroup_variable<{variable}_memory>({count}u);"
            )
            count += 1
        return " ".join(declarations) + "\n" * match[0].count("\n")

    return _THREADGROUP_VARIABLES.sub(declare, text)


def _literal(match: re.Match[str]) -> str:
    number, suffix = match.groups()
    return f"half({number}f)" if suffix in ("h", "H") else f"{number}f"
