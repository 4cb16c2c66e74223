"""Whether a step does something that must come before an import: then no copy can be as a new Python.

In a copy the imports are done when the step begins. Judged by reading, and where that cannot tell
against the copy: to a step, a new Python is never wrong.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from mlflow_workflow.identity.imports import content, parsed

SHARED = {"environ", "environb"}
SHARED_OF_SYS = {"path", "modules", "meta_path", "path_hooks"}
"""What a package may look at while it is imported, and what decides which one is found."""
READING = {"get", "copy", "keys", "values", "items", "index", "count"}
SETTERS = {"putenv", "unsetenv", "addsitedir", "load_dotenv"}

HARMLESS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Pass, ast.Try, ast.TryStar),
)
"""Statements that do nothing themselves. What stands in a `try` is looked at one by one."""


def can_be_copied(project: Path, script: str, files: Iterable[str]) -> bool:
    """Is a step that runs this script, made of these files, the same if its imports are done before?"""
    return not any(minds_order(content(project / file), file != script) for file in files)


@lru_cache(maxsize=4096)
def minds_order(source: bytes, imported: bool) -> bool:
    """Does a file act before an import, in itself or, if it is imported, in whoever imports it?"""
    tree = parsed(source)
    if tree is None:
        return False  # it says so in a copy too
    return acts_before_import(tree) or changes_shared(tree) or (imported and acts_when_imported(tree))


def acts_before_import(tree: ast.Module) -> bool:
    """Does any import at the top level stand after, or in, a statement that does something?"""
    acted = False
    for node in in_order(tree.body):
        if acted and isinstance(node, ast.Import | ast.ImportFrom):
            return True
        acted = acted or acts(node)
    return False


def acts_when_imported(tree: ast.Module) -> bool:
    """Does an import of the file do more than to define names?"""
    defining = (ast.Assign, ast.AnnAssign, ast.AugAssign)
    body = [node for node in tree.body if not is_main_guard(node)]
    return any(acts(n) and not (isinstance(n, defining) and sets_names(n)) for n in in_order(body))


def in_order(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements with those in their blocks, but for what is in functions and classes."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            blocks = (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
            for block in blocks:
                inside = [block] if isinstance(block, ast.stmt) else getattr(block, "body", [])
                yield from in_order(inside)


def acts(node: ast.stmt) -> bool:
    """Does a statement do something, apart from the statements in its blocks?"""
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return calls(node) or not sets_names(node)
        case ast.Expr(value=test) | ast.If(test=test) | ast.Assert(test=test):
            return calls(test)
    return not isinstance(node, HARMLESS)


def calls(node: ast.AST) -> bool:
    """Is anything called in it?"""
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def sets_names(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    """Does an assignment bind names only, no attribute and no item of anything?"""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = (each for target in targets for each in ast.walk(target))
    return not any(isinstance(each, ast.Attribute | ast.Subscript) for each in parts)


def is_main_guard(node: ast.stmt) -> bool:
    """Is it `if __name__ == "__main__"`?"""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def changes_shared(tree: ast.Module) -> bool:
    """Does a file anywhere change environment variables, or where modules are found?"""
    return any(is_change(node) for node in ast.walk(tree))


def is_change(node: ast.AST) -> bool:
    """Does it write to what is shared, or give that another name, by which something might?"""
    match node:
        case ast.Attribute(value=value, attr=name) if is_shared(value):
            return name not in READING
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in SETTERS:
            return True
        case ast.Name(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
            return is_shared(node)
        case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()) | ast.Assign(value=value):
            return is_shared(value)
        case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
            return is_shared(value)
    return isinstance(node, ast.ImportFrom) and any(is_hidden(node, alias) for alias in node.names)


def is_hidden(node: ast.ImportFrom, alias: ast.alias) -> bool:
    """Does an import bring what is shared under a name that does not tell?"""
    shared = SHARED_OF_SYS if node.module == "sys" else SHARED if alias.asname else ()
    return alias.name in shared


def is_shared(node: ast.AST) -> bool:
    """Is it `os.environ`, `sys.path`, or the like?"""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in SHARED:
            return True
        case ast.Attribute(value=ast.Name(id="sys"), attr=name):
            return name in SHARED_OF_SYS
    return False
