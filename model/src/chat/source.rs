//! Prepares a template's source for minijinja: normalises line ends and replaces `{% generation %}` blocks.
//!
//! Replacements have the same length, so lines and columns in errors are correct.

/// The source with `\r\n` and `\r` replaced by `\n`, and each generation block by a plain block.
///
/// In transformers `{% generation %}` … `{% endgeneration %}` marks the assistant's messages, and variables set inside
/// are local. `{% with %}` is the Jinja block with exactly this effect.
pub(super) fn prepare(source: &str) -> String {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    for tag in block_tags(&source) {
        let name = tag_name(&source[tag.clone()]);
        let replacement = match name {
            "generation" => "with",
            "endgeneration" => "endwith",
            _ => continue,
        };
        let padded = source[tag.clone()].replace(name, &format!("{replacement:<width$}", width = name.len()));
        source.replace_range(tag, &padded);
    }
    source
}

/// The two characters that mark the start and end of a generation block in its output. They are no characters of Unicode.
pub(super) const MARKS: [char; 2] = ['\u{10fffe}', '\u{10ffff}'];

/// The filter that puts the marks around its text.
pub(super) const MARK: &str = "_mark_generation";

/// The text between the marks.
pub(super) fn mark(text: &str) -> String {
    format!("{}{text}{}", MARKS[0], MARKS[1])
}

/// The source with each generation block as a plain block whose output is between [`MARKS`]; `None` if there is none.
///
/// Only block tags are inserted, at the inner sides of the tags, so that white space is removed as without them.
pub(super) fn marked(source: &str) -> Option<String> {
    let mut marked = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut found = false;
    for tag in block_tags(&marked).into_iter().rev() {
        let name = tag_name(&marked[tag.clone()]);
        let replacement = match name {
            "generation" => format!("filter {MARK} %}}{{% with"),
            "endgeneration" => "endwith %}{% endfilter".to_owned(),
            _ => continue,
        };
        found = true;
        let replaced = marked[tag.clone()].replace(name, &replacement);
        marked.replace_range(tag, &replaced);
    }
    found.then_some(marked)
}

/// The ranges between the marks in an output, counted without the marks. A mark without its partner is ignored.
pub(super) fn ranges(marked: &str) -> Vec<std::ops::Range<usize>> {
    let (mut ranges, mut start, mut len) = (Vec::new(), None, 0);
    for c in marked.chars() {
        if c == MARKS[0] {
            start = Some(len);
        } else if c == MARKS[1] {
            ranges.extend(start.take().map(|start| start..len));
        } else {
            len += c.len_utf8();
        }
    }
    ranges
}

/// The contents between `{%` and `%}` of each block tag outside comments, expressions and raw blocks.
fn block_tags(source: &str) -> Vec<std::ops::Range<usize>> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|found| at + found) {
        let rest = &source[open..];
        at = if rest.starts_with("{#") {
            rest.find("#}").map_or(source.len(), |end| open + end + 2)
        } else if rest.starts_with("{{") {
            end_of_code(source, open + 2, "}}").map_or(source.len(), |end| end + 2)
        } else if rest.starts_with("{%") {
            // The parser reports a tag without an end.
            let Some(end) = end_of_code(source, open + 2, "%}") else { break };
            tags.push(open + 2..end);
            if tag_name(&source[open + 2..end]) == "raw" { end_of_raw(source, end + 2) } else { end + 2 }
        } else {
            open + 1
        };
    }
    tags
}

/// The contents of a tag without white space control marks.
fn tag_name(tag: &str) -> &str {
    tag.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace())
}

/// The position of `close` outside strings.
fn end_of_code(source: &str, start: usize, close: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut quote = None;
    let mut at = start;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[at..].starts_with(close.as_bytes()) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The position of the tag that ends a raw block.
fn end_of_raw(source: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(open) = source[at..].find("{%").map(|found| at + found) {
        let name = source[open + 2..].trim_start_matches(['-', '+']).trim_start();
        if name.starts_with("endraw") {
            return open;
        }
        at = open + 2;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn generation_tags_become_blocks_of_the_same_length() {
        assert_eq!(
            prepare("a{%- generation -%}b{% endgeneration %}"),
            "a{%- with       -%}b{% endwith       %}"
        );
        for untouched in [
            "generation",
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{% raw %}{% generation %}{% endraw %}",
            "{% if x == '%} {% generation %}' %}",
            "{% set generation = 1 %}",
        ] {
            assert_eq!(prepare(untouched), untouched);
        }
        assert_eq!(prepare("{% raw %}é{% endraw %}{%generation%}"), "{% raw %}é{% endraw %}{%with      %}");
    }

    #[test]
    fn unfinished_tags_are_left_to_the_parser() {
        for source in
            ["{", "{%", "{%-", "{{ '", "{# ", "{% raw %}", "{% raw %}{%", "{% '\\", "{%é", "{%aé😀", "{{aé😀"]
        {
            assert_eq!(prepare(source), source);
        }
        assert_eq!(prepare("a\r\nb\rc"), "a\nb\nc");
    }
}
