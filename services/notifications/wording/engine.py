"""The part of Jinja that templates may use, filled in inside a sandbox.

Variables, `if`, `for` over a list that is a variable, and a few filters. No attribute, index, call, arithmetic, macro,
import or `set`: a template reaches nothing but its variables, and what it writes is at most its own length times that
of a list.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import SandboxedEnvironment

from services.notifications.domain.variables import VariableType

TEXT = VariableType.TEXT
DEPTH_MAX = 20
FILTERS = ("capitalize", "default", "first", "join", "length", "lower", "title", "trim", "upper")
PLAIN_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Compare,
    nodes.Operand,
    nodes.Concat,
)


def _environment(*, markup: bool) -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=markup,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.tests = {}
    return environment


PLAIN, MARKUP = _environment(markup=False), _environment(markup=True)


class Misused(Exception):
    """What a template may not do, and in which line it does."""

    def __init__(self, line: int, rule: str, what: str) -> None:
        super().__init__(what)
        self.line, self.rule, self.what = line, rule, what


def parse(source: str) -> nodes.Template:
    """Misused where it is no template, or one so deeply nested that Python could not run it."""
    try:
        tree = PLAIN.parse(source)
    except TemplateError as error:
        raise Misused(getattr(error, "lineno", 1), "SYNTAX_ERROR", str(error.message)) from None
    except RecursionError:
        raise Misused(1, "NOT_ALLOWED", "too deeply nested") from None
    deeper: list[nodes.Node] = [tree]
    for _ in range(DEPTH_MAX):
        deeper = [child for node in deeper for child in node.iter_child_nodes()]
    if deeper:
        raise Misused(deeper[0].lineno, "NOT_ALLOWED", "too deeply nested")
    return tree


def misuses(tree: nodes.Template, variables: Mapping[str, VariableType]) -> Iterator[Misused]:
    """Whatever in it is not in the part of Jinja that templates may use, and variables that are none there."""
    yield from _misuses(tree, variables, in_loop=False)


def _misuses(node: nodes.Node, variables: Mapping[str, VariableType], *, in_loop: bool) -> Iterator[Misused]:
    match node:
        case nodes.For():
            yield from _misuses_of_loop(node, variables, in_loop=in_loop)
            return
        case nodes.Name(name=name) if name not in variables:
            yield Misused(node.lineno, "VARIABLE_UNKNOWN", name)
        case nodes.Output():
            for each in node.nodes:
                if isinstance(each, nodes.Name) and variables.get(each.name, TEXT) is not TEXT:
                    yield Misused(each.lineno, "VARIABLE_NOT_TEXT", each.name)
        case nodes.Filter(name=name):
            if name not in FILTERS:
                yield Misused(node.lineno, "NOT_ALLOWED", f"filter {name}")
            if node.dyn_args or node.dyn_kwargs:
                yield Misused(node.lineno, "NOT_ALLOWED", "arguments that are not written out")
        case nodes.Keyword() | nodes.Test():
            yield Misused(node.lineno, "NOT_ALLOWED", type(node).__name__.lower())
        case _ if not isinstance(node, PLAIN_NODES):
            yield Misused(getattr(node, "lineno", 1), "NOT_ALLOWED", type(node).__name__.lower())
            return
    for child in node.iter_child_nodes():
        yield from _misuses(child, variables, in_loop=in_loop)


def _misuses_of_loop(node: nodes.For, variables: Mapping[str, VariableType], *, in_loop: bool) -> Iterator[Misused]:
    over, each = node.iter, node.target
    listed = isinstance(over, nodes.Name) and variables.get(over.name) is VariableType.LIST
    if in_loop or node.recursive or node.test or not listed or not isinstance(each, nodes.Name):
        yield Misused(node.lineno, "NOT_ALLOWED", "a loop inside another, or over anything but a list")
        return
    inside = {**variables, each.name: VariableType.TEXT}
    for child in (*node.body, *node.else_):
        yield from _misuses(child, inside, in_loop=True)


def made(source: str, *, markup: bool = False) -> Template:
    return (MARKUP if markup else PLAIN).from_string(source)


compiled = lru_cache(maxsize=1000)(made)
"""For what is written again and again."""


def filled(template: Template, variables: Mapping[str, Any]) -> str:
    """TemplateError where it asks for what it is not given."""
    return template.render(variables)
