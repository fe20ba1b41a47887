"""Mutations of Python source: one small change each, of the kind that a slip of the pen makes."""

import ast
import copy
from typing import NamedTuple

COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
           ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
              ast.Mod: ast.Mult, ast.Pow: ast.Mult}
BOOLEAN = {ast.And: ast.Or, ast.Or: ast.And}


class Mutation(NamedTuple):
    """One change of one file: what stood where, and what stands there then."""

    path: str
    line: int
    before: str
    after: str
    source: str  # of the whole file, changed


def mutations(path: str, source: str) -> list[Mutation]:
    """All mutations of a file, in the order of its lines. Annotations, messages and docstrings stay as they are."""
    tree = ast.parse(source)
    return [_write(path, source, node, changed) for node in _places(tree) for changed in _changes(node)]


def _places(tree):
    """Nodes that may change, outside annotations, `raise` and what is text."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
            continue
        yield node
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_params", "op", "ops", "ctx"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _places(ast.Module([child], []))


def _changes(node):
    """What could stand in the place of a node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        yield _with(node, ops=[COMPARE[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        yield _with(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=BOOLEAN[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.IfExp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def _is_text(node):
    return any(isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str)
               for side in (node.left, node.right))


def _with(node, **fields):
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _write(path, source, node, changed):
    """Only the node's own text changes, so that the numbers of all other lines stay."""
    before, after = ast.get_source_segment(source, node), ast.unparse(ast.fix_missing_locations(changed))
    lines = source.splitlines(keepends=True)
    start = len("".join(lines[:node.lineno - 1]).encode()) + node.col_offset
    data = source.encode()
    end = start + len(before.encode())
    after = f"({after})" if isinstance(node, ast.expr) and not isinstance(changed, ast.Constant) else after
    text = after + "\n" * before.count("\n") if isinstance(node, ast.stmt) else \
        (after[:-1] + "\n" * before.count("\n") + ")" if before.count("\n") else after)
    return Mutation(path, node.lineno, before, after, (data[:start] + text.encode() + data[end:]).decode())
