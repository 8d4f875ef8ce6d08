"""A pickle machine that builds containers and numbers, and can call nothing.

Python's own unpickler imports and calls what a file names, and even with that barred a short file
can make it fill memory (a memo index of four billion) or hash for ever (a key of nested tuples).
So this one knows only the instructions that `torch.save` writes, and takes each in constant time.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 16 << 20
MAX_INSTRUCTIONS = 1 << 18
"""A model of a thousand tensors takes about 100 kB and 50,000 instructions."""


@dataclass(frozen=True)
class Name:
    """What a pickle would import; here only its name."""

    module: str
    name: str


class Placeholder:
    """Stands for an object of an unknown class; it holds its state and runs nothing."""

    def __init__(self, name: Name):
        self.name = name
        self.state: Any = None


def read_pickle(
    data: bytes | memoryview,
    build: Mapping[Name, Callable[..., Any]],
    persistent: Callable[[Any], Any],
) -> Any:
    """The object that a pickle describes.

    Args:
        data: of protocol 2 or later.
        build: functions of ours, safe with any arguments, for the names that mean something here.
        persistent: the object for a persistent id.

    Raises:
        ValueError: an instruction unknown, malformed or at a wrong place, or too many of them.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it describes itself in {len(data)} bytes of pickle")
    machine = _Machine(build, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(bytes(data))):
            if count == MAX_INSTRUCTIONS:
                raise ValueError(f"it describes itself in more than {count} instructions")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except (IndexError, KeyError) as error:
        raise ValueError(f"its pickle refers to what is not there ({str(error)[:80]})") from None
    raise ValueError("its pickle has no end")


class _Machine:
    def __init__(self, build: Mapping[Name, Callable[..., Any]], persistent: Callable[[Any], Any]):
        self.build, self.persistent = build, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one instruction but the last."""
        push, pop = self.stack.append, self.pop
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                push(None)
            case "NEWTRUE" | "NEWFALSE":
                push(opcode == "NEWTRUE")
            case _ if opcode in _LITERALS:
                push(argument)
            case "EMPTY_DICT":
                push({})
            case "EMPTY_LIST":
                push([])
            case "EMPTY_TUPLE":
                push(())
            case "MARK":
                self.marks.append(len(self.stack))
            case "TUPLE":
                push(tuple(self.pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([pop() for _ in range(int(opcode[-1]))][::-1]))
            case "APPEND" | "APPENDS":
                self.append([pop()] if opcode == "APPEND" else self.pop_to_mark())
            case "SETITEM" | "SETITEMS":
                self.set([pop(), pop()][::-1] if opcode == "SETITEM" else self.pop_to_mark())
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "GLOBAL":
                push(Name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                push(Name(str(module), str(name)))
            case "BINPERSID":
                push(self.persistent(pop()))
            case "REDUCE" | "NEWOBJ":
                arguments, name = pop(), pop()
                push(self.call(name, arguments))
            case "BUILD":
                state, built = pop(), self.stack[-1]
                if isinstance(built, Placeholder):
                    built.state = state
            case _:
                raise ValueError(f"its pickle has an instruction that torch never writes, {opcode}")

    def pop(self) -> Any:
        if self.marks and self.marks[-1] == len(self.stack):
            raise IndexError("nothing is left after a mark")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target += values
        elif not isinstance(target, Placeholder):
            raise ValueError(f"its pickle appends to a {type(target).__name__}")

    def set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict | Placeholder) or len(items) % 2:
            raise ValueError(f"its pickle sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes | int | float | None):
                raise ValueError(f"its pickle has a {type(key).__name__} for a key")
            if isinstance(target, dict):
                target[key] = value

    def call(self, name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError(f"its pickle calls a {type(name).__name__}")
        if name not in self.build:
            return Placeholder(name)
        try:
            return self.build[name](*arguments)
        except TypeError as error:  # as many arguments as it pleases, of whatever types
            raise ValueError(f"its pickle misuses {name.name}: {error}") from None


_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES"),
}
