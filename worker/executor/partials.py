"""What a pass makes of a shard, as named arrays and JSON: the form in which resume points and durable files hold it.

A partial is a numpy array, a numpy or Python number, a string, bytes, None, or a tuple, list or dict (of string keys)
of partials. What comes back equals what went in, types and all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_TREE = "tree"


def to_arrays(partial: Any) -> dict[str, np.ndarray]:
    """Named arrays that hold a partial; its own arrays are among them, not copies of them."""
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_tree(partial, arrays))
    return {**arrays, _TREE: np.frombuffer(tree.encode(), np.uint8)}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Any:
    """The partial back, in memory of its own."""
    return _partial(json.loads(arrays[_TREE].tobytes()), arrays)


def size_of(partial: Any) -> int:
    """The bytes of a partial."""
    return sum(array.nbytes for array in to_arrays(partial).values())


def _tree(partial: Any, arrays: dict[str, np.ndarray]) -> Any:
    match partial:
        case np.ndarray():
            return {"array": _add(partial, arrays)}
        case np.generic():
            return {"scalar": _add(np.asarray(partial), arrays)}
        case bytes():
            return {"bytes": _add(np.frombuffer(partial, np.uint8), arrays)}
        case None | bool() | int() | float() | str():
            return partial
        case tuple():
            return {"tuple": [_tree(one, arrays) for one in partial]}
        case list():
            return [_tree(one, arrays) for one in partial]
        case dict():
            return {"dict": {_key(name): _tree(one, arrays) for name, one in partial.items()}}
        case _:
            raise TypeError(
                f"a partial may hold arrays, numbers, strings, tuples, lists and dicts, not {type(partial)}"
            )


def _add(array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    if array.dtype.hasobject or array.dtype.kind not in "biuf":
        raise TypeError(f"a partial holds arrays of numbers and booleans, not of {array.dtype}")
    name = str(len(arrays))
    arrays[name] = array
    return name


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the keys of a partial's dicts are strings, not {type(name)}")
    return name


def _partial(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    match tree:
        case {"array": name}:
            return np.array(arrays[name])
        case {"scalar": name}:
            return arrays[name][()]
        case {"bytes": name}:
            return arrays[name].tobytes()
        case {"tuple": parts}:
            return tuple(_partial(one, arrays) for one in parts)
        case {"dict": parts}:
            return {name: _partial(one, arrays) for name, one in parts.items()}
        case list():
            return [_partial(one, arrays) for one in tree]
        case _:
            return tree
