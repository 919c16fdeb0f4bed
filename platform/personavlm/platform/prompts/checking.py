"""Read a pack from a folder, and say everything that is wrong with it before anybody depends on it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from personavlm.platform.config import ConfigError
from personavlm.platform.prompts.contract import CONTRACT, Rows, sample_values
from personavlm.platform.prompts.render import PromptPack, environment, read_rows, read_task
from personavlm.platform.prompts.syntax import Problem, syntax_problems

MAY_BE_EMPTY = "reply_rules"  # then there is no system message
UNREAD_BY_RULES = frozenset(("reply_rules", "malformed"))
_RENDERING = (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError)


class PackError(ConfigError):
    """A folder of prompts cannot be used; the message lists every problem."""

    def __init__(self, folder: Path, problems: list[Problem]) -> None:
        super().__init__("\n  ".join((f"prompts {folder}:", *map(str, problems))))
        self.problems = problems


def read_pack(folder: Path, engine: str) -> PromptPack:
    """The pack in a folder, for an engine of this kind. Raises `PackError`."""
    texts, problems = read_folder(folder)
    problems += template_problems(texts)
    if not problems and engine == "rules":
        problems = rules_problems(PromptPack.of(texts))
    if problems:
        raise PackError(folder, problems)
    return PromptPack.of(texts)


def read_folder(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """The templates of a folder by name, and what is wrong with its files.

    Names that begin with a dot do not count: Kubernetes mounts keep their links under such.
    """
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        problem = f"the folder cannot be read: {error.strerror}"
        return {}, [Problem(str(folder), 0, problem, "name a folder of templates")]
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for file in files:
        if file.suffix != ".txt" or file.stem not in CONTRACT:
            problems.append(Problem(file.name, 0, "it is no template", "remove it"))
            continue
        try:
            texts[file.stem] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(file.name, 0, f"it cannot be read: {error}", "save it as UTF-8 text"))
    present = {file.name for file in files}
    for name in CONTRACT:
        if f"{name}.txt" not in present:
            remedy = "`personavlm prompts export` writes one to start from"
            problems.append(Problem(f"{name}.txt", 0, "it is missing", remedy))
    return texts, problems


def template_problems(texts: Mapping[str, str]) -> list[Problem]:
    """What is wrong with these templates: their syntax, and what happens when they render samples."""
    made = environment(texts)
    problems: list[Problem] = []
    for name, text in texts.items():
        found = syntax_problems(name, text, made)
        problems += found or dict.fromkeys(_sample_problems(name, made))
    return problems


def _sample_problems(name: str, made: jinja2.Environment) -> Iterator[Problem]:
    """Each sample's first problem; several samples may have the same."""
    file = f"{name}.txt"
    for values in sample_values(name):
        try:
            rendered = made.get_template(name).render(values)
        except _RENDERING as error:
            yield Problem(file, _line(error), f"with {_outline(values)}: {error}", _remedy(error))
            return
        if name != MAY_BE_EMPTY and not rendered.strip():
            yield Problem(
                file, 0, f"with {_outline(values)}: it says nothing", "write what the model is to do"
            )
            return


def _line(error: Exception) -> int:
    """The line of the template where an error came up; 0 where none did."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == "<template>"), 0)


def _outline(values: Mapping[str, Any]) -> str:
    """Which sample it was: how many rows each section had."""
    counts = (f"{name} {len(value)}" for name, value in values.items() if isinstance(value, list))
    return f"samples of rows ({', '.join(counts)})"


def _remedy(error: Exception) -> str:
    if isinstance(error, jinja2.UndefinedError):
        return "rows may be none and fields absent: ask `{% if rows %}`, `{% if row.field is defined %}`"
    return "use `rows` for rows, and the other filters for one value"


def rules_problems(pack: PromptPack) -> list[Problem]:
    """Why the engine of kind ``rules`` could not read these prompts: it knows one form of them only."""
    problems: list[Problem] = []
    other = "or serve the pack with another engine"
    for name in CONTRACT.keys() - UNREAD_BY_RULES:
        values = next(sample_values(name))
        prompt = pack.render(name, **values)
        if read_task(prompt) != name:
            problem = "the engine of kind `rules` finds no task in its first line"
            problems.append(Problem(f"{name}.txt", 1, problem, f"begin with `Task: {name}`, {other}"))
        if unreadable := _unreadable(name, prompt, values):
            problem = f"the engine of kind `rules` cannot read {', '.join(unreadable)}"
            problems.append(Problem(f"{name}.txt", 0, problem, f"keep the <data> sections of ours, {other}"))
    return sorted(problems)


def _unreadable(name: str, prompt: str, values: Mapping[str, Any]) -> list[str]:
    try:
        found = read_rows(prompt)
    except ValueError:  # a data section with something else than rows
        found = {}
    sections = (section for section, given in CONTRACT[name].items() if isinstance(given, Rows))
    return [section for section in sections if found.get(section) != values[section]]
