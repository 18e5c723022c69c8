"""Pickles that hold data and nothing else, read so that what they say cannot do anything.

A pickle is a program. It is looked through before it is run: of its instructions those that data
take are let pass, and none that makes the reader take more memory than the file is large. Then it
runs with a few names to call, given by who reads the file, which make stand-ins without powers; and
at last `plain` makes dictionaries, lists and arrays of these.
"""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

# Not among them: what makes objects of classes, sets, buffers, and extensions by number.
_DATA = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "TUPLE",
        "EMPTY_TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "LIST",
        "EMPTY_LIST",
        "APPEND",
        "APPENDS",
        "DICT",
        "EMPTY_DICT",
        "SETITEM",
        "SETITEMS",
        "GET",
        "BINGET",
        "LONG_BINGET",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "MEMOIZE",
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "BINPERSID",
    ]
)
_DEPTH = 16  # of dictionaries in dictionaries; those of weights have two or three

# Whom a file may call, {(module, name): what it gets}. They have to be made anew for every file, or
# of a kind that cannot be changed: a pickle can set attributes of what it gets.
Names = Mapping[tuple[str, str], Any]


class Dictionary(dict[Any, Any]):
    """Stands for an OrderedDict, of which PyTorch keeps attributes: they are passed over."""

    def __setstate__(self, state: Any) -> None:
        pass


def load(file: IO[bytes], names: Names, find: Callable[[Any], Any] | None = None) -> Any:
    """Return what the pickle at the file's position makes, and leave the position behind it.

    find: what becomes of a persistent id. Raises anything for what is no such pickle.
    """
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name not in _DATA:
            raise pickle.UnpicklingError(f"it says {opcode.name}, which data do not")
        # The memo is a table up to the highest number, whatever is in it.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError(f"it says {opcode.name} {argument} too early")
    file.seek(start)
    return _Unpickler(file, names, find).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], names: Names, find: Callable[[Any], Any] | None) -> None:
        super().__init__(file)
        self._names, self._find = names, find

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self._names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if self._find is None:
            raise pickle.UnpicklingError("it refers to something outside")
        return self._find(pid)


def plain(value: Any, make: Callable[[Any], Any]) -> Any:
    """Return dictionaries, lists, tuples, numbers and texts as they are, and the rest as made.

    make: returns the array that a stand-in is for, or raises `ValueError`. What is referred to
    twice is made once. Raises `ValueError` for keys that are neither texts nor whole numbers, and
    for what lies too deep, as what lies within itself does.
    """
    made: dict[int, tuple[Any, Any]] = {}  # with the value, which keeps its id from being reused

    def of(value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if depth > _DEPTH:
            raise ValueError(f"it holds dictionaries in dictionaries, {_DEPTH} deep and deeper")
        if id(value) not in made:
            made[id(value)] = value, build(value, depth)
        return made[id(value)][1]

    def build(value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            if not all(isinstance(key, str | int) for key in value):
                raise ValueError("it holds a dictionary whose keys are no names")
            return {key: of(x, depth + 1) for key, x in value.items()}
        if type(value) in (list, tuple):
            return type(value)(of(x, depth + 1) for x in value)
        return make(value)

    return of(value, 0)
