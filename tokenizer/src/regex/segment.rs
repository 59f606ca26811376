//! Boundaries between grapheme clusters, as in Unicode 15 (UAX #29 without rule GB9c, as in the reference).

use std::sync::LazyLock;

use super::ast::Set;
use super::program::Members;
use super::property;

/// The classes of UAX #29.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Cr,
    Lf,
    Control,
    Extend,
    Zwj,
    RegionalIndicator,
    Prepend,
    SpacingMark,
    L,
    V,
    T,
    Lv,
    Lvt,
    Other,
}

static CLASSES: LazyLock<Vec<(Break, Members)>> = LazyLock::new(|| {
    let class = |(class, name): (Break, &str)| {
        let set = regex_syntax::parse(&format!(r"[\p{{GCB={name}}}&&\p{{any}}]")).ok()?;
        match set.into_kind() {
            regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(set)) => {
                Some((class, Members::new(&set)))
            }
            _ => None,
        }
    };
    let names = [
        (Break::Extend, "Extend"),
        (Break::Control, "Control"),
        (Break::RegionalIndicator, "RI"),
        (Break::Prepend, "Prepend"),
        (Break::SpacingMark, "SpacingMark"),
        (Break::L, "L"),
        (Break::V, "V"),
        (Break::T, "T"),
        (Break::Lv, "LV"),
        (Break::Lvt, "LVT"),
    ];
    names.into_iter().filter_map(class).collect()
});

static PICTOGRAPHS: LazyLock<Members> = LazyLock::new(|| {
    let pictographs = property::named("extendedpictographic");
    Members::new(&pictographs.unwrap_or_else(Set::empty))
});

impl Break {
    fn of(c: char) -> Break {
        match c {
            '\r' => Break::Cr,
            '\n' => Break::Lf,
            '\u{200d}' => Break::Zwj,
            ' '..='~' => Break::Other,
            c => {
                CLASSES.iter().find(|(_, members)| members.contains(c)).map_or(Break::Other, |known| known.0)
            }
        }
    }
}

/// Whether there is a boundary between grapheme clusters at a byte offset.
pub(super) fn is_boundary(text: &str, at: usize) -> bool {
    let mut before = text[..at].chars().rev();
    let (Some(left), Some(right)) = (before.next(), text[at..].chars().next()) else { return true };
    use Break::{Control, Cr, Extend, L, Lf, Lv, Lvt, Prepend, RegionalIndicator, SpacingMark, T, V, Zwj};
    match (Break::of(left), Break::of(right)) {
        (Cr, Lf) => false,
        (Cr | Lf | Control, _) | (_, Cr | Lf | Control) => true,
        (L, L | V | Lv | Lvt) | (Lv | V, V | T) | (Lvt | T, T) => false,
        (_, Extend | Zwj | SpacingMark) | (Prepend, _) => false,
        (Zwj, _) if PICTOGRAPHS.contains(right) => {
            let base = before.find(|&c| Break::of(c) != Extend);
            !base.is_some_and(|c| PICTOGRAPHS.contains(c))
        }
        (RegionalIndicator, RegionalIndicator) => {
            before.take_while(|&c| Break::of(c) == RegionalIndicator).count() % 2 == 1
        }
        _ => true,
    }
}
