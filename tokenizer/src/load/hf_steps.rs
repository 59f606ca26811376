//! The steps of a `tokenizer.json`: normalizers, pre-tokenizers, decoders and post-processors.

use super::json::Node;
use crate::decode::{DecodeStep, Decoder};
use crate::error::Result;
use crate::normalize::{Form, Normalizer};
use crate::patterns;
use crate::pretokenize::{Behavior, Pattern, PrependScheme, Step};
use crate::template::{Template, TemplatePart};

/// Calls `part` for every part of a `Sequence`, nested ones included. The JSON parser limits the depth.
fn each_part<T>(
    node: &Node<'_>,
    members: &str,
    out: &mut Vec<T>,
    part: &dyn Fn(&Node<'_>, &str) -> Result<T>,
) -> Result<()> {
    match node.kind()? {
        "Sequence" => node.get(members).list()?.try_for_each(|member| each_part(&member, members, out, part)),
        kind => {
            out.push(part(node, kind)?);
            Ok(())
        }
    }
}

fn parts<T>(node: &Node<'_>, members: &str, part: &dyn Fn(&Node<'_>, &str) -> Result<T>) -> Result<Vec<T>> {
    let mut out = Vec::new();
    if !node.is_null() {
        each_part(node, members, &mut out, part)?;
    }
    Ok(out)
}

pub(super) fn normalizers(node: &Node<'_>) -> Result<Vec<Normalizer>> {
    parts(node, "normalizers", &|node, kind| {
        Ok(match kind {
            "NFC" => Normalizer::Unicode(Form::Nfc),
            "NFD" => Normalizer::Unicode(Form::Nfd),
            "NFKC" => Normalizer::Unicode(Form::Nfkc),
            "NFKD" => Normalizer::Unicode(Form::Nfkd),
            "Lowercase" => Normalizer::Lowercase,
            "ByteLevel" => Normalizer::ByteLevel,
            "Prepend" => Normalizer::Prepend(node.get("prepend").text()?.to_owned()),
            "Strip" => Normalizer::Strip {
                left: node.get("strip_left").bool_or(true)?,
                right: node.get("strip_right").bool_or(true)?,
            },
            "Replace" => Normalizer::Replace {
                pattern: pattern(&node.get("pattern"))?,
                content: node.get("content").text()?.to_owned(),
            },
            _ => {
                return Err(node.unsupported(
                    "NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, ByteLevel, Sequence",
                ));
            }
        })
    })
}

pub(super) fn pre_tokenizers(node: &Node<'_>) -> Result<Vec<Step>> {
    parts(node, "pretokenizers", &|node, kind| {
        Ok(match kind {
            "ByteLevel" => Step::ByteLevel {
                add_prefix_space: node.get("add_prefix_space").bool_or(true)?,
                split: match node.get("use_regex").bool_or(true)? {
                    true => Some(Pattern::regex(patterns::GPT2)?),
                    false => None,
                },
            },
            "Split" => Step::Split {
                pattern: pattern(&node.get("pattern"))?,
                behavior: behavior(&node.get("behavior"))?,
                invert: node.get("invert").bool_or(false)?,
            },
            "Digits" => Step::Digits { individual: node.get("individual_digits").bool_or(false)? },
            "Metaspace" => Step::Metaspace {
                replacement: node.get("replacement").char()?,
                prepend: prepend_scheme(node)?,
                split: node.get("split").bool_or(true)?,
            },
            "Whitespace" => Step::Whitespace,
            "WhitespaceSplit" => Step::WhitespaceSplit,
            "Punctuation" => Step::Punctuation {
                behavior: match node.get("behavior") {
                    behavior if behavior.is_null() => Behavior::Isolated,
                    named => behavior(&named)?,
                },
            },
            _ => {
                return Err(node.unsupported(
                    "ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence",
                ));
            }
        })
    })
}

fn pattern(node: &Node<'_>) -> Result<Pattern> {
    match (node.get("String"), node.get("Regex")) {
        (text, _) if !text.is_null() => Ok(Pattern::text(text.text()?)),
        (_, regex) if !regex.is_null() => Pattern::oniguruma(regex.text()?),
        _ => Err(node.expected("{\"String\": …} or {\"Regex\": …}")),
    }
}

fn behavior(node: &Node<'_>) -> Result<Behavior> {
    let name = node.text()?;
    let known = Behavior::NAMES.iter().find(|known| known.0 == name);
    known
        .map(|known| known.1)
        .ok_or_else(|| node.expected("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous"))
}

fn prepend_scheme(node: &Node<'_>) -> Result<PrependScheme> {
    let scheme = node.get("prepend_scheme");
    let old = node.get("add_prefix_space").bool_or(true)?;
    match (scheme.text_or_empty()?, old) {
        ("never", _) | ("", false) => Ok(PrependScheme::Never),
        ("always" | "", true) => Ok(PrependScheme::Always),
        ("first", true) => Ok(PrependScheme::First),
        ("always" | "first", false) => Err(scheme.expected("never, since add_prefix_space is false")),
        _ => Err(scheme.expected("always, first or never")),
    }
}

pub(super) fn decoder(node: &Node<'_>) -> Result<Option<Decoder>> {
    if node.is_null() {
        return Ok(None);
    }
    let steps = parts(node, "decoders", &|node, kind| {
        Ok(match kind {
            "ByteLevel" => DecodeStep::ByteLevel,
            "ByteFallback" => DecodeStep::ByteFallback,
            "Fuse" => DecodeStep::Fuse,
            "Metaspace" => DecodeStep::Metaspace {
                replacement: node.get("replacement").char()?,
                strip_first: prepend_scheme(node)? != PrependScheme::Never,
            },
            "Replace" => DecodeStep::Replace {
                pattern: pattern(&node.get("pattern"))?,
                content: node.get("content").text()?.to_owned(),
            },
            "Strip" => DecodeStep::Strip {
                content: node.get("content").char()?,
                start: node.get("start").count()?,
                stop: node.get("stop").count()?,
            },
            "BPEDecoder" => DecodeStep::Suffix(node.get("suffix").text()?.to_owned()),
            _ => {
                return Err(node.unsupported(
                    "ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, BPEDecoder, Sequence",
                ));
            }
        })
    })?;
    Ok(Some(Decoder::new(steps)))
}

/// The tokens that the post-processor adds around a single text.
pub(super) fn template(node: &Node<'_>) -> Result<Template> {
    let templates = parts(node, "processors", &|node, kind| {
        Ok(match kind {
            // It only corrects the reference's offsets.
            "ByteLevel" => Template::default(),
            "TemplateProcessing" => template_processing(node)?,
            "RobertaProcessing" | "BertProcessing" => {
                Template::around(vec![named_id(&node.get("cls"))?], vec![named_id(&node.get("sep"))?])
            }
            _ => {
                return Err(node.unsupported(
                    "TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing, Sequence",
                ));
            }
        })
    })?;
    templates.iter().try_fold(Template::default(), |inner, outer| outer.with_text(&inner))
}

fn template_processing(node: &Node<'_>) -> Result<Template> {
    let special_tokens = node.get("special_tokens");
    let parts = node.get("single").list()?.map(|part| {
        let (sequence, special) = (part.get("Sequence"), part.get("SpecialToken"));
        if !sequence.is_null() {
            return match sequence.get("id").text()? {
                "A" => Ok(TemplatePart::Text),
                _ => Err(sequence.get("id").expected("A, since there is only one text")),
            };
        }
        if special.is_null() {
            return Err(part.expected("a Sequence or a SpecialToken"));
        }
        let token = special_tokens.get(special.get("id").text()?);
        let ids: Result<Vec<u32>> = token.get("ids").list()?.map(|id| id.id()).collect();
        Ok(TemplatePart::Ids(ids?))
    });
    Ok(Template::new(parts.collect::<Result<_>>()?))
}

/// The id of `["token", id]`.
fn named_id(node: &Node<'_>) -> Result<u32> {
    let id = node.list()?.nth(1).ok_or_else(|| node.expected("a token and its id"))?;
    id.id()
}
