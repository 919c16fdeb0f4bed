"""A pack in another shape than ours: one user message, dictionaries as Python prints them, labelled lines.

It is what a checkpoint that was trained elsewhere may want. Templates not named here are ours.
"""

from collections.abc import Mapping
from pathlib import Path

from personavlm.platform.prompts.render import PromptPack, default_pack

REPLY = """\
You look after one person. Think, then answer or search at most {{ max_retrievals }} times.

# Known for certain
{ {%- for entry in core %}{{ entry.key | python }}: {{ entry.text | python }}
{%- if not loop.last %}, {% endif %}{% endfor -%} }

# Traits, on a scale from 1.0 to 5.0
{% for row in personality %}
- {{ row.trait | capitalize | text }}: {{ row.score | text }}
{% endfor %}

# Said lately
{% for turn in conversation %}
{{ turn.time[:16] | text }} ({{ turn.time[17:] | text }})
User: {{ turn.user | lines }}
Assistant: {{ turn.assistant | lines }}
{% endfor %}

# Said now
{% for now in message %}
{'time': {{ now.time[:16] | python }}, 'query': {{ now.text | python }}}
{% endfor %}
{% for wish in instructions %}
Wish: {{ wish.text | lines }}
{% endfor %}
"""
MEMORIES = """\
# Habits
{% for habit in procedural %}
- {{ habit.text | text }}
{% else %}
none
{% endfor %}

# Facts
{% for fact in semantic %}
- [{{ fact.time | text }}] {{ fact.text | text }}
{% if fact.until is defined %}
  until {{ fact.until | text }}
{% endif %}
{% endfor %}
{% for fact in visual %}
- [{{ fact.time | text }}] {{ fact.text | text }}
{% endfor %}

# History
{% for turn in turns %}
Round {{ loop.index0 }} at {{ turn.time | text }}
User: {{ turn.user | lines }}
{% if turn.captions is defined %}
Pictures: {{ turn.captions | join("; ") | text }}
{% endif %}
Assistant: {{ turn.assistant | lines }}
{% endfor %}
"""
FOREIGN: Mapping[str, str] = {
    **dict(default_pack().templates),
    "reply_rules": "",
    "reply": REPLY,
    "memories": MEMORIES,
    "answer_now": "Answer now.",
    "malformed": "Unreadable ({{ problem | text }}). Again.",
}


def foreign_pack() -> PromptPack:
    return PromptPack.of(FOREIGN)


def write_pack(folder: Path, texts: Mapping[str, str] = FOREIGN) -> Path:
    """The templates as files of a new folder."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder
