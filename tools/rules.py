"""Rules of this project that no linter has. `make lint` runs them; each finding is one line, `file:line: what`.

A rule is a function over the tree of one file, beside the files that it is for. It finds what is written, not what is
meant: where a finding is wrong, write it another way, or make the rule better.
"""

import ast
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
LOCKS = ("package-lock.json", "requirements.lock")
FOLDERS = ("bench", "chassis", "cli", "clients/python/src", "deploy", "services", "tests", "tools")

Finding: TypeAlias = tuple[ast.AST, str]
Rule: TypeAlias = Callable[[ast.Module], Iterator[Finding]]

CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
CHANCE = {"uuid1", "uuid4", "uuid7", "new_id", "token_hex", "random", "randint", "choice", "shuffle"}
LOGGERS = {"log", "logger", "logging"}
WHOLE_MESSAGES = {"request", "response", "event", "message", "msg", "payload", "row", "rows", "command", "patient"}
MONEY = ("amount", "price", "minor", "cents", "total", "fee", "balance", "deposit")
COMPILERS = {"Statement", "settling"}
WORDS_MIN = 3


def commits_in_the_chassis_only(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in ("commit", "rollback"):
            yield node, "only chassis.db ends a transaction"
        if isinstance(node, ast.Constant) and str(node.value).strip().upper() in ("COMMIT", "ROLLBACK", "BEGIN"):
            yield node, "only chassis.db begins and ends a transaction"


def business_time_comes_from_the_call(tree: ast.Module) -> Iterator[Finding]:
    for node in _calls(tree):
        read = isinstance(node.func, ast.Attribute) and f"{_name(node.func.value)}.{node.func.attr}"
        if read in CLOCKS or _name(node.func) == "utc_now":
            yield node, "business time comes from Call.now, or from the clock that a job is given"


def a_domain_is_a_function_of_its_arguments(tree: ast.Module) -> Iterator[Finding]:
    for node in _calls(tree):
        if _name(node.func) in CHANCE:
            yield node, "a domain makes no ids and throws no dice: they are handed in"


def a_mapper_knows_no_grpc(tree: ast.Module) -> Iterator[Finding]:
    for node, module in _imports(tree):
        if module.partition(".")[0] == "grpc":
            yield node, "rpc maps and hands on; codes and contexts are chassis.endpoint's"


def no_orm(tree: ast.Module) -> Iterator[Finding]:
    for node, module in _imports(tree):
        if module.startswith("sqlalchemy.orm"):
            yield node, "statements are Core, compiled at import"


def logs_name_ids_only(tree: ast.Module) -> Iterator[Finding]:
    for node in _calls(tree):
        if isinstance(node.func, ast.Attribute) and _name(node.func.value) in LOGGERS:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(each, ast.Name) and each.id in WHOLE_MESSAGES for each in given):
                yield node, "a log line names ids, never whole messages"


def a_module_says_what_belongs_in_it(tree: ast.Module) -> Iterator[Finding]:
    if tree.body and not ast.get_docstring(tree):
        yield tree.body[0], "a module begins with a docstring that says what belongs in it"


def a_test_is_named_by_a_sentence(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            words = [word for word in node.name.split("_")[1:] if word]
            if not node.name.startswith("test_") or len(words) < WORDS_MIN:
                yield node, f"{node.name} is no sentence"


def money_is_no_float(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and _is_money(node) and _name(node.annotation) == "float":
            yield node, "money is integer minor units"
        if isinstance(node, ast.Assign) and any(_is_money(each) for each in node.targets) and _is_float(node.value):
            yield node, "money is integer minor units"
        if isinstance(node, ast.Call) and _name(node.func) == "float" and any(_is_money(each) for each in node.args):
            yield node, "money is integer minor units"


def statements_are_compiled_at_import(tree: ast.Module) -> Iterator[Finding]:
    """A plain function may make some, to be called while its module is imported."""
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in _calls(function):
                if _name(node.func) in COMPILERS:
                    yield node, "compile it once, when its module is imported"


@dataclass(frozen=True)
class Applied:
    rule: Rule
    to: tuple[str, ...]
    but: tuple[str, ...] = ()

    def concerns(self, path: str) -> bool:
        return any(fnmatch(path, each) for each in self.to) and not any(fnmatch(path, each) for each in self.but)


MIGRATIONS = ("services/*/migrations/*",)
RULES = (
    Applied(commits_in_the_chassis_only, ("services/*", "cli/*", "deploy/*"), MIGRATIONS),
    Applied(business_time_comes_from_the_call, ("services/*",)),
    Applied(a_domain_is_a_function_of_its_arguments, ("services/*/domain.py", "services/*/domain/*")),
    Applied(a_mapper_knows_no_grpc, ("services/*/rpc.py", "services/*/rpc/*")),
    Applied(no_orm, ("*",)),
    Applied(logs_name_ids_only, ("chassis/*", "services/*")),
    Applied(a_module_says_what_belongs_in_it, ("chassis/*", "services/*", "cli/*", "deploy/*", "tools/*", "bench/*")),
    Applied(a_test_is_named_by_a_sentence, ("tests/*/test_*.py",)),
    Applied(money_is_no_float, ("chassis/*", "services/*", "cli/*")),
    Applied(statements_are_compiled_at_import, ("services/*",)),
)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _imports(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


def _name(node: ast.AST | None) -> str:
    """The last part of `a.b.c`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_float(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _is_money(node: ast.AST) -> bool:
    target = node.target if isinstance(node, ast.AnnAssign) else node
    name = target.arg if isinstance(target, ast.arg) else _name(target)
    return any(part in MONEY for part in name.split("_"))


def findings(path: str, source: str) -> list[str]:
    tree = ast.parse(source)
    rules = [applied.rule for applied in RULES if applied.concerns(path)]
    return [f"{path}:{getattr(node, 'lineno', 1)}: {what}" for rule in rules for node, what in rule(tree)]


def lock_findings(path: str, source: str) -> Iterator[str]:
    """A lock pins hashes and no addresses: a package is what it is, wherever it is fetched from."""
    for number, line in enumerate(source.splitlines(), 1):
        if "://" in line and not line.lstrip().startswith('"url": '):  # npm's "url" is where to thank the authors.
            yield f"{path}:{number}: a lock holds no addresses"
    if path.endswith(".json"):
        for folder, package in json.loads(source)["packages"].items():
            if "node_modules/" in folder and not package.get("link") and "integrity" not in package:
                yield f"{path}:1: {folder} has no hash"


def main() -> None:
    files = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    found = [line for path in files for line in findings(str(path.relative_to(ROOT)), path.read_text())]
    found += [line for name in LOCKS for line in lock_findings(name, (ROOT / name).read_text())]
    print("\n".join(found) or f"{len(RULES)} rules hold in {len(files)} files")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
