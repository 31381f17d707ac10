"""Small faults to be put into a module one at a time, for `tools/mutation_test.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
_NAMES = {"min": "max", "minimum": "maximum", "any": "all", "floor": "ceil", "argmax": "argmin"}
_NAMES |= {other: name for name, other in _NAMES.items()}
_DELETED = (ast.AugAssign, ast.Raise, ast.Continue, ast.Break)
# `zip(…, strict=True)` speaks only where lengths differ by a fault.
_HARMLESS_KEYWORDS = ("strict",)


@dataclass(frozen=True)
class Mutant:
    """One fault: the module's text from `start` to `stop` (bytes) replaced by `text`."""

    start: int
    stop: int
    text: str

    def apply(self, source: str) -> str:
        """The module with this fault."""
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.stop :]).decode()

    def line(self, source: str) -> int:
        """The 1-based line on which the fault begins."""
        return source.encode()[: self.start].count(b"\n") + 1

    def change(self, source: str) -> str:
        """The lines concerned before and after, as `old` → `new`."""
        data = source.encode()
        first = data.rfind(b"\n", 0, self.start) + 1
        last = data.find(b"\n", self.stop)
        last = len(data) if last < 0 else last
        new = data[first : self.start] + self.text.encode() + data[self.stop : last]
        old, new = (" ".join(part.decode().split()) for part in (data[first:last], new))
        return f"`{old}` → `{new}`"


def mutants(source: str) -> list[Mutant]:
    """All faults of a module, by position; those that do not compile are left out.

    Changed are comparisons (the boundary and the negation), arithmetic, `and` and `or`, signs and
    `not`, numbers (an int by one, a float doubled), truth values, strings, conditions, returned
    values, functions and their opposites (`min`, `any`, `floor` …). Left out in turn are keyword
    arguments and statements. Docstrings, annotations, decorators and the texts of errors stay.
    """
    found = dict.fromkeys(_Finder(source).visit(ast.parse(source)))
    return sorted((m for m in found if _compiles(m.apply(source))), key=lambda m: (m.start, m.stop))


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


class _Finder:
    def __init__(self, source: str) -> None:
        self.data = source.encode()
        self.lines = [0]
        for line in self.data.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def stop(self, node: ast.AST) -> int:
        return self.lines[node.end_lineno - 1] + node.end_col_offset

    def visit(self, node: ast.AST) -> Iterator[Mutant]:
        """The faults of a node and of all below it."""
        yield from self.of(node)
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not self.stays(child):
                    yield from self.visit(child)

    @staticmethod
    def stays(node: ast.AST) -> bool:
        """Whether everything below a node stays."""
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)
        return isinstance(node, ast.keyword) and node.arg in _HARMLESS_KEYWORDS

    def of(self, node: ast.AST) -> Iterator[Mutant]:
        """The faults of one node alone."""
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
                    old, others = _COMPARISONS[type(op)]
                    for new in others:
                        yield from self.between(left, right, old, new)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                yield from self.between(node.left, node.right, *_ARITHMETIC[type(node.op)])
            case ast.BoolOp():
                words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self.between(left, right, *words)
            case ast.UnaryOp():
                yield Mutant(self.start(node), self.start(node.operand), "")
            case ast.Constant():
                yield from self.constant(node)
            case ast.If() | ast.While() | ast.IfExp():
                yield from self.negated(node.test)
            case ast.comprehension():
                for test in node.ifs:
                    yield from self.negated(test)
            case ast.Return(value=value) if value is not None:
                yield Mutant(self.start(value), self.stop(value), "None")
            case ast.Name(id=name) if name in _NAMES:
                yield Mutant(self.start(node), self.stop(node), _NAMES[name])
            case ast.Attribute(attr=name) if name in _NAMES:
                yield Mutant(self.stop(node) - len(name), self.stop(node), _NAMES[name])
            case ast.Call():
                yield from self.keywords(node)
        if isinstance(node, _DELETED) or self.assigns_in_place(node):
            yield Mutant(self.start(node), self.stop(node), "pass")

    def between(self, left: ast.AST, right: ast.AST, old: str, new: str) -> Iterator[Mutant]:
        """Replace the operator between two operands."""
        start = self.stop(left)
        at = self.data[start : self.start(right)].find(old.encode())
        if at >= 0:
            yield Mutant(start + at, start + at + len(old), new)

    def negated(self, test: ast.AST) -> Iterator[Mutant]:
        """Negate a condition that is neither a comparison nor negated already."""
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            text = self.data[self.start(test) : self.stop(test)].decode()
            yield Mutant(self.start(test), self.stop(test), f"(not ({text}))")

    def constant(self, node: ast.Constant) -> Iterator[Mutant]:
        value = node.value
        if isinstance(value, bool):
            new = repr(not value)
        elif isinstance(value, int):
            new = repr(value + 1)
        elif isinstance(value, float):
            new = repr(2 * value or 1.0)
        elif isinstance(value, str):
            new = repr(f"other {value}")
        else:
            return
        yield Mutant(self.start(node), self.stop(node), new)

    def keywords(self, call: ast.Call) -> Iterator[Mutant]:
        """Leave out one keyword argument."""
        given = [*call.args, *call.keywords]
        for before, after, keyword in zip([None, *given], [*given[1:], None], given, strict=False):
            if not isinstance(keyword, ast.keyword) or keyword.arg in (None, *_HARMLESS_KEYWORDS):
                continue
            start, stop = self.start(keyword), self.stop(keyword)
            if after is not None:
                stop = self.start(after)
            elif before is not None:
                start = self.stop(before)
            yield Mutant(start, stop, "")

    @staticmethod
    def assigns_in_place(node: ast.AST) -> bool:
        """Whether a program still runs, most often, without this statement."""
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Call)
        if not isinstance(node, ast.Assign):
            return False
        used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        return all(
            isinstance(target, ast.Subscript | ast.Attribute)
            or (isinstance(target, ast.Name) and target.id in used)
            for target in node.targets
        )
