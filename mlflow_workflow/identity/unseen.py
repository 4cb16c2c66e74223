"""Where Python loads code, or changes where it is found, in a way that reading cannot follow."""

import ast
from collections.abc import Iterator

UNSEEN = {
    *("__import__", "import_module", "resolve_name", "iter_modules", "walk_packages"),
    *("run_module", "run_path", "spec_from_file_location", "spec_from_loader", "exec_module"),
    *("SourceFileLoader", "SourcelessFileLoader", "zipimporter", "addsitedir", "extend_path"),
}
"""Functions and classes of whatever module."""

OF_MODULES = {
    "builtins": {"__import__", "exec", "eval"},
    "sys": {"path", "meta_path", "path_hooks"},
}
"""What counts as a member of its module only: other things have methods and members of these names."""

PLAIN = {*UNSEEN, *OF_MODULES["builtins"], "__path__"}
"""What counts where it stands without a dot."""


def unseen_lines(tree: ast.Module) -> list[int]:
    """The lines that name something by which code is loaded unseen, or that change where it is found."""
    modules = {"sys": "sys", "builtins": "builtins", "__builtins__": "builtins", **renamed(tree)}
    return sorted({line for node in ast.walk(tree) for line in line_of(node, modules)})


def renamed(tree: ast.Module) -> dict[str, str]:
    """Other names under which a file knows these modules."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
    aliases = (alias for node in imports for alias in node.names)
    return {a.asname: a.name for a in aliases if a.asname and a.name in OF_MODULES}


def line_of(node: ast.AST, modules: dict[str, str]) -> Iterator[int]:
    """The node's line, if it names something of the kind."""
    match node:
        case ast.Name(id=name) if name in PLAIN:
            yield node.lineno
        case ast.Attribute(attr=name) if name in UNSEEN:
            yield node.lineno
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if name in members(modules.get(owner)):
            yield node.lineno
        case ast.ImportFrom(module=module, names=names) if not members(module).isdisjoint(
            alias.name for alias in names
        ):
            yield node.lineno
        case ast.ImportFrom(names=names) if not UNSEEN.isdisjoint(alias.name for alias in names):
            yield node.lineno


def members(module: str | None) -> set[str]:
    """What counts of a module; `from module import *` does, too."""
    return OF_MODULES[module] | {"*"} if module in OF_MODULES else set()
