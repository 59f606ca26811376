"""Writes train/tests/data/chat_masks.json: chats, and the tokens that transformers says the assistant learns.

    python scripts/chat_mask_goldens.py model/tests/fixtures train/tests/data

With a template that has `{% generation %}`, the mask is apply_chat_template's return_assistant_tokens_mask. With others it
is the difference of two renderings, by transformers: the chat up to an answer, and the chat before it with a generation
prompt; a token counts if it has a character of the answer. White space after the token that ends an answer does not.
"""

import argparse
import json
from pathlib import Path

import transformers
from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
PLAIN = (
    "{% if style is defined %}{{ style }}{% endif %}"
    "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}"
    "{% for d in documents or [] %}doc {{ d.title }}: {{ d.text }}\n{% endfor %}"
    "{% for m in messages %}{{ m.role }}{% if m.tool_call_id %}({{ m.tool_call_id }}){% endif %}: "
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content or '' }}"
    "{% for t in m.tool_calls or [] %}<call>{{ t.function.name }} {{ t.function.arguments | tojson }}{% endfor %}"
    "{{ eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
MARKED = (
    "{%- for m in messages %}\n"
    "    {%- if m.role == 'assistant' %}\n"
    "        {{- 'assistant: ' }}\n"
    "        {%- generation %}\n"
    "            {{- (m.content or '') + eos_token }}\n"
    "            {%- for t in m.tool_calls or [] %}{{- t | tojson }}{% endfor %}\n"
    "        {%- endgeneration %}\n"
    "        {{- '\n' }}\n"
    "    {%- else %}\n"
    "        {{- m.role + ': ' + m.content + '\n' }}\n"
    "    {%- endif %}\n"
    "{%- endfor %}"
)
TRIMMED = (
    "{% for m in messages %}\n  {% if m.role == 'assistant' %}\nA {% generation %}\n{{ m.content }}\n"
    "  {% set x = 1 %}\n{{ eos_token }}\n  {% endgeneration %}\n\n  {% else %}\nU {{ m.content }}\n{% endif %}\n{% endfor %}"
)
# As Qwen3: reasoning of turns before the last question is left out.
FORGETFUL = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
    "{% for m in messages %}{{ m.role + ': ' }}"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}{{ '<think>' + (m.reasoning_content or '') + '</think>' }}"
    "{% endif %}{{ m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
# As DeepSeek-R1: the generation prompt begins what a finished answer lacks.
OPENING = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: <think>' }}{% endif %}"
)


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": {"z": "Rome", "a": [1, 2.5, None]}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
TOOLS = {
    "messages": [
        turn("user", "How is Rome?"),
        turn("assistant", None, tool_calls=[CALL], reasoning="ask"),
        turn("tool", "warm", tool_call_id="c1"),
        turn("assistant", "It is warm."),
    ],
    "tools": [TOOL],
    "documents": [{"title": "one", "text": "two"}],
    "style": "short",
}
TWO = {"messages": [
    turn("system", "Be kind."), turn("user", "say 1"), turn("assistant", "yes", reasoning_content="why"),
    turn("user", "say 2"), turn("assistant", "no  ", thinking="hm"),
]}
FIRST = {"messages": [turn("assistant", "hello"), turn("user", "say"), turn("assistant", "yes")]}
CASES = [
    ("tools", PLAIN, TOOLS), ("two answers", PLAIN, TWO), ("answer first", PLAIN, FIRST),
    ("marked", MARKED, TWO), ("marked tools", MARKED, {"messages": TOOLS["messages"]}), ("trimmed", TRIMMED, FIRST),
    ("forgetful", FORGETFUL, TWO), ("opening", OPENING, TWO),
]


def render(tokenizer, chat, count, answer):
    extra = {key: value for key, value in chat.items() if key != "messages"}
    return tokenizer.apply_chat_template(
        chat["messages"][:count], tokenize=False, add_generation_prompt=answer, **extra)


def encode(tokenizer, text):
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return found["input_ids"], found["offset_mapping"]


def by_difference(tokenizer, chat):
    """One sequence, or one for each answer where the chat's rendering does not begin with that of its part."""
    whole = render(tokenizer, chat, len(chat["messages"]), False)
    answers = []
    for i, message in enumerate(chat["messages"]):
        if message["role"] == "assistant":
            before = render(tokenizer, chat, i, True) if i else "assistant: " * (chat is FIRST)
            until = render(tokenizer, chat, i + 1, False)
            common = next((n for n, (a, b) in enumerate(zip(before, until)) if a != b), min(len(before), len(until)))
            answers.append((until, common, until.rindex(END) + len(END)))
    if all(whole.startswith(until) for until, _, _ in answers):
        texts = [(whole, [(start, end) for _, start, end in answers])]
    else:
        texts = [(until, [(start, end)]) for until, start, end in answers]
    sequences = []
    for text, ranges in texts:
        ids, offsets = encode(tokenizer, text)
        mask = [int(any(b > start and a < end for start, end in ranges)) for a, b in offsets]
        sequences.append({"ids": ids, "mask": mask})
    return sequences


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fixtures", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(arguments.fixtures / "tiny/llama-text/tokenizer.json"), eos_token=END)
    cases = []
    for name, template, chat in CASES:
        tokenizer.chat_template = template
        if "generation %}" in template:
            found = tokenizer.apply_chat_template(
                chat["messages"], return_dict=True, return_assistant_tokens_mask=True)
            sequences = [{"ids": found["input_ids"], "mask": found["assistant_masks"]}]
        else:
            sequences = by_difference(tokenizer, chat)
        for sequence in sequences:
            print(name, [tokenizer.decode([i]) for i, m in zip(sequence["ids"], sequence["mask"]) if m])
        cases.append({"name": name, "template": template, "line": json.dumps(chat), "sequences": sequences})
    golden = {"script": "scripts/chat_mask_goldens.py", "transformers": transformers.__version__, "cases": cases}
    (arguments.out / "chat_masks.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
