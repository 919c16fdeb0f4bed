"""What a template may consist of, judged by its syntax tree, whatever the data will be.

Allowed are wording, ``{{ value | filter }}``, ``{% if %}``, ``{% for %}`` and comparisons; nothing is called,
set or taken in. Three rules keep data from posing as wording:

* What is printed goes through a filter of `filters` last; whole numbers of ours may go without.
* A value in plain text (``text``, ``lines``) does not begin a line: the margin belongs to the wording.
* Wording does not end within a tag, or a value could finish it: ``<{{ x | text }}>``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import jinja2
from jinja2 import nodes
from jinja2.tests import TESTS

from personavlm.platform.prompts.contract import CONTRACT, OURS, Number, fields
from personavlm.platform.prompts.filters import FILTERS
from personavlm.platform.prompts.render import CASES, HELPERS

MAX_LOOPS = 3
_PLAIN = frozenset(("text", "lines"))
_COUNTS = frozenset(("index", "index0", "revindex", "revindex0", "length"))
_LOOP = _COUNTS | {"first", "last", "previtem", "nextitem"}
_UNFINISHED_TAG = re.compile(r"<(?:/?[a-z_|][^<>\n]*|/)?\Z", re.IGNORECASE)
_SPECIAL_TOKEN = re.compile(r"<\|")
_ALLOWED = (
    *(nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Keyword, nodes.Test),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg),
)
_REFUSED: tuple[tuple[type[nodes.Node], str], ...] = (
    (nodes.Call, "a function or a method is called"),
    (nodes.Assign, "`{% set %}` is not available"),
    (nodes.AssignBlock, "`{% set %}` is not available"),
    (nodes.FilterBlock, "`{% filter %}` is not available"),
    (nodes.Macro, "`{% macro %}` is not available"),
    (nodes.CallBlock, "`{% call %}` is not available"),
    (nodes.Block, "`{% block %}` is not available"),
    (nodes.Include, "`{% include %}` is not available"),
    (nodes.Import, "`{% import %}` is not available"),
    (nodes.FromImport, "`{% import %}` is not available"),
    (nodes.Extends, "`{% extends %}` is not available"),
    (nodes.CondExpr, "`… if … else …` is not available within `{{ }}`"),
    (nodes.Expr, "an operator is used that prompts do not have"),
    (nodes.Node, "a block is used that prompts do not have"),
)
_LANGUAGE = "a template has {{ value | filter }}, {% if %}, {% for %} and comparisons"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with a file of a pack, and what helps. Line 0 means the file as a whole."""

    file: str
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.problem}; {self.remedy}"


def syntax_problems(name: str, text: str, environment: jinja2.Environment) -> list[Problem]:
    """What is wrong with template ``name``, in the order of its lines; none where it is well formed."""
    file = f"{name}.txt"
    try:
        tree = environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
        remedy = "close every {{ }}, {% %} and {# #}; literal braces stand in {% raw %}…{% endraw %}"
        return [Problem(file, error.lineno, str(error.message), remedy)]
    found = (
        Problem(file, line, problem, remedy) for line, problem, remedy in _Judgement(name).of_template(tree)
    )
    return sorted(dict.fromkeys(found))


def unused_variables(name: str, text: str, environment: jinja2.Environment) -> list[str]:
    """What template ``name`` is given and does not mention."""
    used = {node.name for node in environment.parse(text).find_all(nodes.Name)}
    return [variable for variable in CONTRACT[name] if variable not in used]


Finding = tuple[int, str, str]


class _Judgement:
    """Walks one template."""

    def __init__(self, template: str) -> None:
        self._given = CONTRACT[template]
        self._fields = fields(template)
        self._judges: dict[type[nodes.Node], Callable[..., Iterator[Finding]]] = {
            nodes.Output: self._output,
            nodes.TemplateData: self._wording,
            nodes.Getattr: self._attribute,
            nodes.Getitem: self._item,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
        }

    def of_template(self, tree: nodes.Template) -> Iterator[Finding]:
        used = {node.name for node in tree.find_all(nodes.Name)}
        for name, variable in self._given.items():
            if variable.needed and name not in used:
                yield 0, f"`{name}` is not used", "print it: without it the model cannot do the task"
        for node in tree.body:
            yield from self._node(node, ())

    def _node(self, node: nodes.Node, loops: tuple[str, ...]) -> Iterator[Finding]:
        """Judge what is allowed at all, and what is in it. ``loops`` are the names of the loops around it."""
        if not isinstance(node, _ALLOWED):
            yield node.lineno, next(why for kind, why in _REFUSED if isinstance(node, kind)), _LANGUAGE
        elif isinstance(node, nodes.For):
            yield from self._for(node, loops)
        elif isinstance(node, nodes.Name):
            yield from self._name(node, loops)
        else:
            if judge := self._judges.get(type(node)):
                yield from judge(node)
            for child in node.iter_child_nodes():
                yield from self._node(child, loops)

    def _for(self, node: nodes.For, loops: tuple[str, ...]) -> Iterator[Finding]:
        """One name for each row; it and ``loop`` hold within the loop."""
        if not isinstance(node.target, nodes.Name):
            yield node.lineno, "a loop has several names", "write {% for row in rows %}"
            return
        name = node.target.name
        if name in self._given or name == "loop":
            yield node.lineno, f"`{name}` is given and named anew", "choose another name in {% for %}"
        if len(loops) == MAX_LOOPS:
            yield node.lineno, f"loops stand more than {MAX_LOOPS} deep", "loop over fewer things at once"
            return
        for part in (node.iter, *node.else_):
            yield from self._node(part, loops)
        for part in (*([node.test] if node.test else []), *node.body):
            yield from self._node(part, (*loops, name))

    def _name(self, node: nodes.Name, loops: tuple[str, ...]) -> Iterator[Finding]:
        if node.name not in self._given and node.name not in (*loops, *(["loop"] if loops else [])):
            problem = f"`{node.name}` is not given to this template"
            yield node.lineno, problem, f"it is given {_listed(self._given)}"

    def _output(self, output: nodes.Output) -> Iterator[Finding]:
        """A stretch of wording and values between two blocks; it may begin anywhere in a line."""
        at_margin = True
        for part in output.nodes:
            if isinstance(part, nodes.TemplateData):
                _, newline, line = part.data.rpartition("\n")
                at_margin = not line.strip() and (at_margin or bool(newline))
                continue
            if not self._may_be_printed(part):
                remedy = "write {{ … | rows }} for rows; | text, | lines or | python for one value"
                yield part.lineno, f"{_shown(part)} is printed without a filter of ours", remedy
            elif at_margin and self._is_plain(part):
                remedy = "put wording before it in the same line, such as a dash"
                yield part.lineno, f"{_shown(part)} may begin a line and pose as wording", remedy
            if isinstance(part, nodes.Filter) and part.name == "rows":
                at_margin = True
            elif not (isinstance(part, nodes.Filter) and part.name in _PLAIN):
                at_margin = False

    def _may_be_printed(self, part: nodes.Expr) -> bool:
        if isinstance(part, nodes.Filter):
            return part.name in FILTERS
        if isinstance(part, nodes.Name):
            return isinstance(self._given.get(part.name), Number)
        return isinstance(part, nodes.Getattr) and _is_loop(part.node) and part.attr in _COUNTS

    def _is_plain(self, part: nodes.Expr) -> bool:
        """Whether a print may write anything at all at its beginning."""
        if not (isinstance(part, nodes.Filter) and part.name in _PLAIN):
            return False
        value = part.node
        while (isinstance(value, nodes.Getitem) and isinstance(value.arg, nodes.Slice)) or (
            isinstance(value, nodes.Filter) and value.name in CASES
        ):
            value = value.node
        return not (isinstance(value, nodes.Getattr) and value.attr in OURS)

    def _wording(self, data: nodes.TemplateData) -> Iterator[Finding]:
        for token in _SPECIAL_TOKEN.finditer(data.data):
            line = data.lineno + data.data.count("\n", 0, token.start())
            yield line, "`<|` begins a special token", "leave it out: the engine writes its model's tokens"
        if _UNFINISHED_TAG.search(data.data):
            line = data.lineno + data.data.count("\n")
            yield line, "a tag is interrupted by {{ }} or {% %}", "write the whole tag as wording"

    def _attribute(self, node: nodes.Getattr) -> Iterator[Finding]:
        known = _LOOP if _is_loop(node.node) else self._fields
        if node.attr not in known:
            yield node.lineno, f"no row has a field `{node.attr}`", f"there are {_listed(known)}"

    def _item(self, node: nodes.Getitem) -> Iterator[Finding]:
        if isinstance(node.arg, nodes.Slice):
            return
        if not isinstance(node.arg, nodes.Const):
            yield node.lineno, "an index is computed", "write a number or a field's name in [ ]"
        elif isinstance(node.arg.value, str) and node.arg.value not in self._fields:
            yield node.lineno, f"no row has a field `{node.arg.value}`", f"there are {_listed(self._fields)}"

    def _filter(self, node: nodes.Filter) -> Iterator[Finding]:
        if node.name not in FILTERS and node.name not in HELPERS:
            known = f"there are {_listed(FILTERS)}, and before them {_listed(HELPERS)}"
            yield node.lineno, f"`{node.name}` is no filter", known

    def _test(self, node: nodes.Test) -> Iterator[Finding]:
        if node.name not in TESTS:
            yield node.lineno, f"`is {node.name}` is no test", "write `is defined` or a comparison"


def _is_loop(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "loop"


def _shown(node: nodes.Node) -> str:
    """How a problem names an expression: by what it reads."""
    while isinstance(node, nodes.Filter | nodes.Getitem) and node.node is not None:
        node = node.node
    if isinstance(node, nodes.Getattr):
        return f"`{_shown(node.node).strip('`')}.{node.attr}`"
    return f"`{node.name}`" if isinstance(node, nodes.Name) else "a value"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
