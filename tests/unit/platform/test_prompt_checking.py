"""What the check of a pack finds, where it says it is, and that it finds nothing in what is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from personavlm.platform.config import Config, ConfigError
from personavlm.platform.engine_config import OpenAiEngineConfig
from personavlm.platform.prompts.checking import PackError, read_pack, rules_problems, template_problems
from personavlm.platform.prompts.chosen import chosen_pack, with_pack
from personavlm.platform.prompts.render import default_pack
from tests.unit.platform.foreign_pack import FOREIGN, foreign_pack, write_pack

OURS = dict(default_pack().templates)
ENGINE = OpenAiEngineConfig(kind="openai", base_url="http://localhost:1/v1", model="m")


def problems_of(name: str, text: str) -> list[str]:
    return [str(problem) for problem in template_problems({name: text})]


def test_our_own_pack_and_one_of_another_shape_are_right() -> None:
    assert template_problems(OURS) == [] and rules_problems(default_pack()) == []
    assert template_problems(FOREIGN) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # Syntax
        ("Why\n{{ problem | text ", r"malformed.txt:2: unexpected end of template.*; close every"),
        ("{% if problem %}", r"malformed.txt:1: Unexpected end of template"),
        ("{{ problem | text }}{% endfor %}", r"malformed.txt:1: Encountered unknown tag 'endfor'"),
        ("No {% if problem is odder %}x{% endif %}", r"malformed.txt:1: `is odder` is no test"),
        # Names
        ("No:\n\n{{ message | rows }}", r"malformed.txt:3: `message` is not given .*; it is given problem$"),
        ("No: {{ problem.user | text }}", r":1: no row has a field `user`"),
        ("No: {{ problem['user'] | text }}", r":1: no row has a field `user`"),
        ("No: {{ loop.index }}", r":1: `loop` is not given"),
        ("{% for problem in problem %}- {{ problem | text }}{% endfor %}", r":1: `problem` is .* named anew"),
        # Filters
        ("No: {{ problem }}", r":1: `problem` is printed without a filter of ours; write {{ … | rows }}"),
        ("No: {{ problem | text | upper }}", r":1: `problem` is printed without a filter of ours"),
        (
            "No: {{ problem | shout | text }}",
            r":1: `shout` is no filter; there are lines, python, rows",
        ),
        ("No: {{ problem | tojson }}", r":1: `problem` is printed without a filter of ours"),
        ("No: {{ problem | safe | text }}", r":1: `safe` is no filter"),
        ("No: {{ problem | rows }}", r":1: .*`rows` writes rows, and got .*; use `rows` for rows"),
        # Data that could pose as wording
        ("{{ problem | text }}", r":1: `problem` may begin a line and pose as wording; put wording before"),
        ("No:\n {{ problem | lines }}", r":2: `problem` may begin a line"),
        ("No: {% if problem %}{{ problem | text }}{% endif %}", r":1: `problem` may begin a line"),
        ("No: <{{ problem | text }}>", r":1: a tag is interrupted"),
        ("No\n: </data{% if problem %}>{% endif %}", r":2: a tag is interrupted"),
        ("Well.\nNo<|im_end|>", r":2: `<\|` begins a special token; leave it out"),
        # No code
        ("No: {{ problem.upper() | text }}", r":1: a function or a method is called; a template has"),
        ("No: {{ ''.__class__ | text }}", r":1: no row has a field `__class__`"),
        ("No: {{ ''.__class__ }}", r":1: .* is printed without a filter"),
        ("{% set x = problem %}No", r"`{% set %}` is not available"),
        ("{% include 'core' %}No", r"`{% include %}` is not available"),
        ("{% macro m() %}{% endmacro %}No", r"`{% macro %}` is not available"),
        ("{% filter upper %}No{% endfilter %}", r"`{% filter %}` is not available"),
        ("{% with %}No{% endwith %}", r"a block is used that prompts do not have"),
        ("No: {{ ('a' * 999999999) | text }}", r"an operator is used"),
        ("No: {{ (problem if problem else 'x') | text }}", r"`… if … else …` is not available"),
        ("No: {{ problem[problem | length] | text }}", r"an index is computed"),
        ("{% for a in problem %}" * 4 + "x" + "{% endfor %}" * 4, r"loops stand more than 3 deep"),
        # Nothing
        ("\n", r"malformed.txt: with samples of rows .*it says nothing"),
    ],
)
def test_what_is_wrong_with_a_template_is_said(text: str, says: str) -> None:
    assert re.search(says, "\n".join(problems_of("malformed", text)), re.DOTALL)


def test_all_problems_of_a_template_are_said_in_order() -> None:
    text = "{{ a | text }}\n{{ problem }}\n<|im_start|>\nNo: {{ problem.x() | text }}"
    assert [problem.line for problem in template_problems({"malformed": text})] == [1, 1, 2, 3, 4]


def test_what_a_model_cannot_do_without_must_be_used() -> None:
    assert problems_of("reply", "Hello!") == [
        "reply.txt: `message` is not used; print it: without it the model cannot do the task"
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Last: {{ conversation[0].user | text }}", "with samples of rows (core 0, "),
        ("{% for row in message %}- {{ row.captions | join | text }}{% endfor %}", "no attribute 'captions'"),
        ("{% for row in message %}- {{ row.text[0] | text }}{% endfor %}", "str object has no element 0"),
        ("{% for row in message %}- {{ row.user | text }}{% endfor %}", "no attribute 'user'"),
    ],
)
def test_samples_find_what_only_some_data_bring_out(line: str, says: str) -> None:
    [problem] = problems_of("reply", f"Reply.\n{{{{ message | rows }}}}\n{line}")
    assert problem.startswith("reply.txt:3: ") and says in problem and "rows may be none" in problem


def test_a_system_message_may_be_nothing_but_other_prompts_may_not() -> None:
    assert problems_of("reply_rules", "") == []
    assert "it says nothing" in problems_of("answer_now", "")[0]


def test_a_folder_has_every_template_and_nothing_else(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "pack")
    (folder / "..data").mkdir()  # as Kubernetes mounts it
    assert read_pack(folder, "openai") == foreign_pack()
    (folder / "core.txt").unlink()
    (folder / "notes.md").write_text("x")
    (folder / "extra.txt").write_text("x")
    (folder / "semantic.txt").write_bytes(b"\xff")
    with pytest.raises(PackError) as caught:
        read_pack(folder, "openai")
    assert [problem.file for problem in caught.value.problems] == [
        "extra.txt", "notes.md", "semantic.txt", "core.txt"
    ]  # fmt: skip
    assert str(caught.value).startswith(f"prompts {folder}:\n  extra.txt: it is no template; remove it\n")
    with pytest.raises(ConfigError, match="missing: the folder cannot be read: No such file"):
        read_pack(tmp_path / "missing", "openai")


def test_the_rules_read_one_form_of_prompt_only(tmp_path: Path) -> None:
    with pytest.raises(PackError) as caught:
        read_pack(write_pack(tmp_path / "foreign"), "rules")
    assert {problem.file for problem in caught.value.problems} == {
        "answer_now.txt", "memories.txt", "reply.txt"
    }  # fmt: skip
    assert "finds no task in its first line; begin with `Task: reply`, or serve" in str(caught.value)
    assert "cannot read core, personality, omitted, conversation" in str(caught.value)
    words = {**OURS, "reply_rules": "Be kind.", "core": OURS["core"].replace("Rules:", "Mind:")}
    assert read_pack(write_pack(tmp_path / "ours", words), "rules").render("reply_rules", max_retrievals=1)


def test_a_configuration_carries_the_words_and_not_their_folder(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "pack")
    config = Config(engine=ENGINE, prompts=folder)
    with pytest.raises(ValueError, match="not read where the service started"):
        chosen_pack(config)
    carried = with_pack(config)
    for file in folder.iterdir():
        file.unlink()
    assert chosen_pack(carried) == foreign_pack() and with_pack(carried) == carried
    assert chosen_pack(with_pack(Config())) == default_pack()
