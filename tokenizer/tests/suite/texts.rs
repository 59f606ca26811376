//! Test texts: chosen ones, and generators of random ones.

use glassbox_tokenizer::{EncodeOptions, Tokenizer};
use proptest::prelude::*;

/// A dozen scripts, emoji with joiners, normal forms, odd white space, controls, code.
pub(crate) const TEXTS: &[&str] = &[
    "",
    " ",
    "\n",
    "Hello, world! It's we'll I'M THEY'LL 'S'T can't don’t",
    "The most effective way to learn computer science is 12345678 3.14159",
    "中文文本，包括标点。你好世界！",
    "日本語のテキスト、カタカナとひらがな。",
    "한국어 텍스트 예제입니다. \u{1100}\u{1161}\u{11a8}",
    "Привет, мир! Как дела?",
    "مرحبا بالعالم كيف حالك؟ ١٢٣",
    "שלום עולם",
    "नमस्ते दुनिया १२३",
    "ไทยภาษา สวัสดี",
    "Ελληνικά κείμενο ΆΈ",
    "ქართული ენა Հայերեն አማርኛ",
    "தமிழ் மொழி বাংলা ভাষা",
    "Tiếng Việt ắ ằ ẳ",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦 👨🏽\u{200d}💻 🏳️\u{200d}🌈 🇩🇪🇫🇷",
    "café cafe\u{301} naïve nai\u{308}ve Å \u{212b} ﬁ Ⅳ ² ½ ①",
    "a\u{301}\u{323} \u{301}a 1\u{301} e\u{301}\u{301}\n",
    "tabs\t\tnew\n\n\nlines\r\n\r\n  \n \t x   y",
    "\r\r\n\n\r  \n\n  \t\n x \n",
    "  leading and trailing  \n",
    "\u{a0}\u{2003}\u{3000}\u{200b}\u{2028}x\u{2029}\u{85}y\u{feff} z\u{1680}",
    "\0\u{1}\u{1f}\u{7f}\u{80}\u{9f} controls \u{1b}[0m",
    "!?!?...---***///\n/\n// %%% {}[]();:'\"\\|",
    "def f(x):\n    return x**2  # comment\n\n\tif x:\n\t\tpass\n",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|><|begin_of_text|>",
    "<|fim_prefix|>a<|fim_suffix|><|endofprompt|>",
    "CamelCaseWords HTTPServer XMLHttpRequest iPhone snake_case ǅ ʰa aʰ",
    "ſ 'ſ I'ſt K'LL İ i\u{307} ß ẞ ŉ ''s 's 'Re 'VE",
    "1 12 123 1234 1,000,000 2²  ½ Ⅷ 0x1F  7  8 一二三",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨 𞤀 \u{10ffff} \u{e000} \u{fffd}",
];

/// Pieces of text on which the patterns' rules depend.
const TRICKY: &[&str] = &[
    "'s",
    "'S",
    "'ll",
    "'RE",
    "'ſ",
    "'",
    "’",
    " ",
    "  ",
    "   ",
    "\n",
    "\r\n",
    "\t",
    "\u{a0}",
    "\u{2028}",
    "\u{85}",
    "a",
    "B",
    "ab",
    "Ab",
    "aB",
    "é",
    "e\u{301}",
    "\u{301}",
    "\u{903}",
    "ʰ",
    "ǅ",
    "ß",
    "İ",
    "1",
    "23",
    "4567",
    "٣",
    "½",
    "Ⅷ",
    ".",
    "!!",
    "/",
    "//\n",
    "_",
    "$",
    "€",
    "中",
    "ア",
    "가",
    "🏽",
    "\u{200d}",
    "\0",
    "<|im_end|>",
    "<|endoftext|>",
    "<s>",
    "hello",
    " world",
    "ſ",
    "\u{ad}",
    "\u{e000}",
    "\u{378}",
];

/// Makes the tokenizer compute its joins, so that it splits the words of short texts into pieces, too.
pub(crate) fn encode_long_text(tokenizer: &Tokenizer) {
    tokenizer.encode(&"é ".repeat(1 << 15), &EncodeOptions::default()).unwrap();
}

pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(TRICKY).prop_map(str::to_owned),
        1 => "[a-zA-Z]{1,9}",
        1 => "[一-龥，。]{1,20}",
        1 => any::<char>().prop_map(String::from),
        1 => prop::char::range('\0', '\u{2fff}').prop_map(String::from),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// Bytes that are mostly, but not always, UTF-8.
pub(crate) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        any_text().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..5),
        any_text().prop_map(|text| text.into_bytes().into_iter().skip(1).step_by(2).collect()),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}
