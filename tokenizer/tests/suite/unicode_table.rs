//! The table of character classes agrees with `regex-syntax` for every code point.

use glassbox_tokenizer::unicode::Class;
use regex_syntax::hir::{Class as HirClass, HirKind};

/// The classes that partition all code points, with the short names in the table.
const CLASSES: &[(&str, &str, Class)] = &[
    ("LU", r"\p{Lu}", Class::UPPER),
    ("LL", r"\p{Ll}", Class::LOWER),
    ("LT", r"\p{Lt}", Class::TITLE),
    ("LM", r"\p{Lm}", Class::MODIFIER),
    ("LO", r"\p{Lo}", Class::OTHER_LETTER),
    ("MK", r"\p{M}", Class::MARK),
    ("ND", r"\p{Nd}", Class::DECIMAL),
    ("NO", r"[\p{N}--\p{Nd}]", Class::OTHER_NUMBER),
    ("PC", r"\p{Pc}", Class::CONNECTOR),
    ("PU", r"[\p{P}--\p{Pc}]", Class::OTHER_PUNCTUATION),
    ("SY", r"\p{S}", Class::SYMBOL),
    ("WS", r"\s", Class::WHITE),
];

fn members(pattern: &str) -> Vec<bool> {
    let mut members = vec![false; 0x11_0000];
    let parsed = regex_syntax::parse(pattern).expect("a class");
    let HirKind::Class(HirClass::Unicode(class)) = parsed.kind() else { panic!("{pattern} is not a class") };
    for range in class.ranges() {
        members[range.start() as usize..=range.end() as usize].fill(true);
    }
    members
}

#[test]
fn every_code_point_has_the_class_of_regex_syntax() {
    if std::env::var_os("GLASSBOX_WRITE_TABLES").is_some() {
        return write_table();
    }
    let all = |class: Class| {
        (0..0x11_0000).map(move |code| char::from_u32(code).is_some_and(|c| Class::of(c).intersects(class)))
    };
    for (_, pattern, class) in CLASSES {
        assert!(all(*class).eq(members(pattern)), "{pattern}");
    }
    for (pattern, class) in
        [(r"\p{L}", Class::LETTER), (r"\p{N}", Class::NUMBER), (r"\p{P}", Class::PUNCTUATION)]
    {
        assert!(all(class).eq(members(pattern)), "{pattern}");
    }
}

#[test]
fn word_characters_are_those_of_regex_syntax() {
    let expected = members(r"\w");
    let found = |code| char::from_u32(code).is_some_and(glassbox_tokenizer::unicode::is_word);
    // The standard library may have a newer version of Unicode, whose new characters were unassigned before.
    let different = (0..0x11_0000u32).filter(|&code| found(code) != expected[code as usize]);
    let newer =
        different.filter(|&code| char::from_u32(code).is_some_and(|c| Class::of(c).intersects(Class::OTHER)));
    let (newer, all) =
        (newer.count(), (0..0x11_0000u32).filter(|&code| found(code) != expected[code as usize]).count());
    assert_eq!(newer, all, "only unassigned characters may differ");
}

/// Regenerates `src/unicode/table.rs`, except its header.
fn write_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/unicode/table.rs");
    let mut names = vec!["OT"; 0x11_0000];
    for (name, pattern, _) in CLASSES {
        let hits = members(pattern).into_iter().zip(&mut names).filter(|(is_member, _)| *is_member);
        hits.for_each(|(_, slot)| *slot = name);
    }
    let changes = (0..names.len()).filter(|&code| code == 0 || names[code] != names[code - 1]);
    let old = std::fs::read_to_string(path).expect("the table");
    let head = old.find("&[\n").expect("the list") + 3;
    let mut table = old[..head].to_owned();
    let mut line = String::from("   ");
    for code in changes {
        let entry = format!(" (0x{code:X}, {}),", names[code]);
        if line.len() + entry.len() > 118 {
            table += &(std::mem::replace(&mut line, String::from("   ")) + "\n");
        }
        line += &entry;
    }
    table += &(line + "\n];\n");
    std::fs::write(path, table).expect("the table is writable");
}
