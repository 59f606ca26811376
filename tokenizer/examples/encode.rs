//! Shows how a text becomes tokens: the words, every merge in them, and the ids with their byte ranges.
//!
//! ```sh
//! cargo run -p glassbox-tokenizer --example encode -- "some text" path/to/tokenizer.json
//! ```
//!
//! Without a file, a small tokenizer is trained first.

use std::error::Error;

use glassbox_tokenizer::{Derivation, EncodeOptions, Special, Tokenizer, TrainOptions, Trainer};

const CORPUS: &str = "The cat sat on the mat. The other cat sat on the other mat. That cat, this cat, every cat: \
    all the cats sat together on the one mat that there was.";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().unwrap_or_else(|| "The cats' mats — naïve, n'est-ce pas?".to_owned());
    let tokenizer = match arguments.next() {
        Some(path) => Tokenizer::from_file(path)?,
        None => {
            let mut trainer = Trainer::new(TrainOptions { vocab_size: 256 + 24, ..TrainOptions::default() });
            trainer.feed(CORPUS)?;
            trainer.train()?
        }
    };
    for warning in tokenizer.warnings() {
        eprintln!("warning: {warning}");
    }

    let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
    let name = |id| tokenizer.id_to_token(id).unwrap_or("?");
    for word in tokenizer.explain(&text, &options)? {
        println!("{:?}", word.text);
        match word.derivation {
            Derivation::AddedToken => println!("    an added token"),
            Derivation::WholeWord => println!("    in the vocabulary as a whole"),
            Derivation::Merged { symbols, merges } => {
                let row = |ids: &[u32]| ids.iter().map(|&id| name(id)).collect::<Vec<_>>().join(" ");
                println!("    {:>6}  {}", "", row(&symbols));
                merges.iter().for_each(|merge| println!("    {:>6}  {}", merge.rank, row(&merge.after)));
            }
        }
    }

    println!("\n    id  bytes    token");
    let tokens = tokenizer.encode_with_offsets(&text, &options)?;
    for token in &tokens {
        let range = format!("{}..{}", token.range.start, token.range.end);
        println!("{:>6}  {range:<7}  {}", token.id, name(token.id));
    }
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    println!("\n{} tokens, decoded: {:?}", ids.len(), tokenizer.decode(&ids, false));
    Ok(())
}
