//! The comparison of two vectors as text: the answer in a sentence, then a line for each layer.

use glassbox_model::glass::{ContextComparison, LayerComparison, Similarity, TokenEffect};
use glassbox_tokenizer::Tokenizer;

use crate::bars;
use crate::commands::explained::{columns, fitting, paragraph};
use crate::commands::predict::shown;
use crate::escape;
use crate::output::Out;

/// Columns of a bar.
const BAR: usize = 10;

pub(super) fn write(
    comparison: &ContextComparison,
    baseline_tokens: usize,
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    paragraph(
        out,
        &format!(
            "cosine: 1 is the same direction, 0 unrelated. What all tokens share, the mean of {baseline_tokens} tokens \
             of ordinary text and of both texts, is taken off; without that (raw) any two tokens seem alike. random: \
             the mean cosine of two tokens of the ordinary text, in the same way."
        ),
    )?;
    let with_tokens = comparison.after.iter().any(|layer| !layer.only_a.is_empty());
    if with_tokens {
        paragraph(
            out,
            "A and B: what the first vector has that the second lacks, and the reverse: the tokens whose logits differ \
             most if the model stopped there (logit lens). In early layers most of these tokens mean little.",
        )?;
    }
    paragraph(out, &summary(comparison).join(" "))?;
    out.line(
        out.paint(
            2,
            &format!(" layer   cosine  random     raw{}", if with_tokens { "" } else { "  cosine" }),
        ),
    )?;
    let numbers = |layer: &str, similarity: &Similarity| {
        let Similarity { cosine, raw, random } = similarity;
        let bar = bars::from_left(cosine.clamp(0.0, 1.0), BAR);
        (format!("{layer:>6}  {cosine:>+7.4}  {:>+6.3}  {raw:>+6.3}", random.mean), bar)
    };
    let (line, bar) = numbers("before", &comparison.before);
    out.line(format!("{line}  {}", out.paint(36, &bar)).trim_end())?;
    for LayerComparison { layer, similarity, only_a, only_b } in &comparison.after {
        let (line, bar) = numbers(&layer.to_string(), similarity);
        let used = escape::width(&line) + BAR + 4;
        let half = columns(out).saturating_sub(used + 6) / 2;
        let tokens =
            |effects: &[TokenEffect]| fitting(effects.iter().map(|effect| shown(tokenizer, effect.id)), half);
        let both = if with_tokens {
            format!("  A {}  B {}", escape::fit(&tokens(only_a), half), tokens(only_b))
        } else {
            String::new()
        };
        let bar = format!("{}{}", out.paint(36, &bar), " ".repeat(BAR - escape::width(&bar)));
        out.line(format!("{line}  {bar}{both}").trim_end())?;
    }
    Ok(())
}

/// The answer: where the two are closest and furthest apart, and where the cosine falls most.
fn summary(comparison: &ContextComparison) -> Vec<String> {
    let before = comparison.before.cosine;
    let mut last = before;
    let mut fall = (0.0, 0);
    for layer in &comparison.after {
        let by = last - layer.similarity.cosine;
        if by > fall.0 {
            fall = (by, layer.layer);
        }
        last = layer.similarity.cosine;
    }
    let lowest = comparison.after.iter().min_by(|a, b| a.similarity.cosine.total_cmp(&b.similarity.cosine));
    let mut sentences = vec![format!("They start with a cosine of {before:+.2}, and end with {last:+.2}.")];
    if fall.0 > 0.01 {
        sentences.push(format!("They part most in layer {}, where it falls by {:.2}.", fall.1, fall.0));
    }
    if let Some(lowest) = lowest {
        let (layer, cosine) = (lowest.layer, lowest.similarity.cosine);
        sentences.push(format!(
            "They are furthest apart after layer {layer}: {cosine:+.2}, where 95 % of random pairs are below {:+.2}.",
            lowest.similarity.random.high
        ));
    }
    sentences
}
