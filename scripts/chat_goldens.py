"""Renders the chat templates under model/tests/fixtures/chat/templates with HF transformers.

    python scripts/chat_goldens.py [SMOLLM2.gguf]

Writes model/tests/fixtures/chat/goldens.json: for each template and conversation, the result of `render_jinja_template`
(which `apply_chat_template` calls), or its error message. `strftime_now` uses a fixed time. Given
SmolLM2-135M-Instruct's GGUF file, it also renders the template in its metadata and writes smollm2.json, which has only
the texts, since the template belongs to the model. Needs the packages transformers and jinja2, and gguf for the second
file.
"""

import datetime
import hashlib
import json
import pathlib
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent.parent / "model/tests/fixtures/chat"
SECONDS = 1_735_689_599  # 2024-12-31 23:59:59
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class StandingClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(SECONDS, datetime.timezone.utc)


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place, in °C & 'words'.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Town — e.g. \"Zürich\""},
                "days": {"type": "integer", "minimum": 0, "maximum": 7.5, "nullable": True},
            },
            "required": ["place"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {}, "return": {"type": "string"}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2, "deep": [None, 1.0]}}}

CONVERSATIONS = {
    "one_question": {"messages": turns(("user", "What is a tensor?"))},
    "system_and_question": {"messages": turns(("system", "  Answer briefly.\n"), ("user", "Why is the sky blue?"))},
    "several_turns": {
        "messages": turns(
            ("system", "Be kind."),
            ("user", " Hello! \n\n"),
            ("assistant", "Hi.\nHow are you?  "),
            ("user", "Fine\t— and you?"),
            ("assistant", "\nWell."),
            ("user", "Good."),
        )
    },
    "unicode": {
        "messages": turns(
            ("user", "Grüße, 世界! 👩‍👩‍👧 \u00a0ﬁn\u2028x"),
            ("assistant", "Ω≈ç√ «ßİ» \U0001f600"),
            ("user", "𝔘𝔫𝔦 e\u0301"),
        )
    },
    "looks_like_code": {
        "messages": turns(
            ("user", "{{ bos_token }} {% if x %} {# no #} <|im_end|> \\n 'quoted' \"double\" </s>"),
            ("assistant", "{{- raise_exception('x') }}"),
        )
    },
    "empty_words": {"messages": turns(("system", ""), ("user", ""), ("assistant", ""), ("user", "   "))},
    "ends_with_assistant": {"messages": turns(("user", "Say A."), ("assistant", "A"))},
    "wrong_order": {"messages": turns(("user", "one"), ("user", "two"))},
    "starts_with_assistant": {"messages": turns(("assistant", "one"), ("user", "two"))},
    "unknown_role": {"messages": turns(("user", "one"), ("narrator", "two"), ("user", "three"))},
    "no_messages": {"messages": []},
    "tools": {
        "messages": turns(("system", "Use tools."), ("user", "Weather in Köln?")),
        "tools": [WEATHER, CLOCK],
    },
    "tool_calls": {
        "messages": [
            {"role": "user", "content": "Weather in Köln?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "name": "weather", "content": "{\"sky\": \"grau\"}"},
            {"role": "tool", "name": "weather", "content": "17 °C"},
            {"role": "assistant", "content": "Grey, 17 °C."},
            {"role": "user", "content": "Thanks."},
        ],
        "tools": [WEATHER],
    },
    "two_calls_at_once": {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "Looking.", "tool_calls": [CALL, {"name": "clock", "arguments": "{}"}]},
        ],
    },
    "thoughts": {
        "messages": turns(
            ("user", "2 + 2?"),
            ("assistant", "<think>\nTwo and two.\n</think>\n\n4"),
            ("user", "Sure?"),
            ("assistant", "<think>\nYes.\n</think>\n\nYes."),
        ),
        "enable_thinking": False,
    },
    "variables": {"messages": turns(("user", "Which day?")), "date_string": "1 May 2025", "bos_token": "<other>"},
}

# The template of Python's methods is long and depends little on the conversation.
PYTHON_CONVERSATIONS = ("several_turns", "unicode", "looks_like_code")


def render(source, conversation, add_generation_prompt):
    variables = {**TOKENS, **conversation}
    messages = variables.pop("messages")
    try:
        [text], _ = chat_template_utils.render_jinja_template(
            [messages], chat_template=source, add_generation_prompt=add_generation_prompt, **variables
        )
        return {"text": text}
    except jinja2.exceptions.UndefinedError as error:
        return {"fails": f"UndefinedError: {error}"}
    except jinja2.exceptions.TemplateError as error:
        return {"raises": str(error)}
    except TypeError as error:
        return {"fails": f"TypeError: {error}"}


MADE_BY = f"scripts/chat_goldens.py with transformers {transformers.__version__}, jinja2 {jinja2.__version__}"


def cases_of(template, source):
    for name, conversation in CONVERSATIONS.items():
        if template == "python" and name not in PYTHON_CONVERSATIONS:
            continue
        for prompt in (False, True):
            outcome = render(source, conversation, prompt)
            yield {"template": template, "conversation": name, "add_generation_prompt": prompt, **outcome}


def write(file, goldens, cases):
    text = json.dumps({"made_by": MADE_BY, **goldens, "cases": cases}, ensure_ascii=False, indent=1)
    (HERE / file).write_text(text + "\n", encoding="utf-8")
    counts = {key: sum(key in case for case in cases) for key in ("text", "raises", "fails")}
    print(file, len(cases), "cases:", counts)


def template_of_gguf(path):
    import gguf

    field = gguf.GGUFReader(path).fields["tokenizer.chat_template"]
    return bytes(field.parts[field.data[0]]).decode("utf-8")


def main():
    chat_template_utils.datetime = StandingClock
    cases = []
    for path in sorted((HERE / "templates").glob("*.jinja")):
        cases.extend(cases_of(path.stem, path.read_text(encoding="utf-8")))
    goldens = {
        "seconds": SECONDS,
        "tokens": TOKENS,
        # As a string, so that a reader preserves the order of the keys.
        "conversations": {name: json.dumps(c, ensure_ascii=False) for name, c in CONVERSATIONS.items()},
    }
    write("goldens.json", goldens, cases)
    for path in sys.argv[1:]:
        source = template_of_gguf(path)
        about = {"source": pathlib.Path(path).name, "sha256": hashlib.sha256(source.encode("utf-8")).hexdigest()}
        write("smollm2.json", about, list(cases_of("smollm2", source)))


if __name__ == "__main__":
    main()
