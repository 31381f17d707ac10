"""Damage to JSON values, the same for the same seed."""

import copy
import random

WRONG = (
    *(None, True, False, "", "text", "\ud800", "é" * 300, "<b>", "1", "nan"),
    *(0, -1, 1, 0.5, -0.0, 1e308, -1e308, 5e-324, 10**30, -(10**30), 2**31, 2**63),
    *(float("nan"), float("inf"), [], {}, [[]], [None], [1, 2, 3, 4], [0] * 8, [1e30] * 8),
    *({"size": [100_000, 100_000], "counts": "PPYo1"}, {"size": [8, 8], "counts": [2**40]}),
    *([[1e9] * 6], [[[0]]], {"a": {"b": [1]}}, [{}], "../../x", "/etc/passwd"),
)


def places(value, path=()):
    """List the paths of all values inside."""
    yield path
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def damaged(value, seed: int):
    """Return a copy with one to three values replaced, left out or given twice."""
    rng = random.Random(seed)
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        *way, last = rng.choice([path for path in places(value) if path] or [(None,)])
        if last is None:
            return rng.choice(WRONG)
        inner = value
        for step in way:
            inner = inner[step]
        act = rng.random()
        if act < 0.1:
            del inner[last]
        elif act < 0.2 and isinstance(inner, list):
            inner.append(copy.deepcopy(inner[last]))
        elif act < 0.3 and isinstance(inner[last], (int, float)):
            inner[last] = -inner[last] * rng.choice((1, 1e6, 1e300))
        else:
            inner[last] = copy.deepcopy(rng.choice(WRONG))
    return value
