//! Unicode character classes, as used in splitting patterns: `\p{Lu}`, `\p{M}`, `\p{N}`, `\s` and so on.
//!
//! Every code point belongs to exactly one single-bit [`Class`]. A [`Class`] with several bits is a set of classes, so
//! testing for "a letter or a mark" is one lookup and one `&`.

mod table;

use std::ops::BitOr;
use std::sync::LazyLock;

/// A set of character classes. The constants with one bit partition all code points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class(u16);

impl Class {
    /// `\p{Lu}`
    pub const UPPER: Class = Class(1);
    /// `\p{Ll}`
    pub const LOWER: Class = Class(1 << 1);
    /// `\p{Lt}`
    pub const TITLE: Class = Class(1 << 2);
    /// `\p{Lm}`
    pub const MODIFIER: Class = Class(1 << 3);
    /// `\p{Lo}`
    pub const OTHER_LETTER: Class = Class(1 << 4);
    /// `\p{M}`
    pub const MARK: Class = Class(1 << 5);
    /// `\p{Nd}`
    pub const DECIMAL: Class = Class(1 << 6);
    /// `\p{Nl}` and `\p{No}`
    pub const OTHER_NUMBER: Class = Class(1 << 7);
    /// `\p{Pc}`
    pub const CONNECTOR: Class = Class(1 << 8);
    /// `\p{P}` without `\p{Pc}`
    pub const OTHER_PUNCTUATION: Class = Class(1 << 9);
    /// `\p{S}`
    pub const SYMBOL: Class = Class(1 << 10);
    /// `\s`
    pub const WHITE: Class = Class(1 << 11);
    /// Everything else: control, format, private-use and unassigned characters.
    pub const OTHER: Class = Class(1 << 12);

    /// `\p{L}`
    pub const LETTER: Class = Class(0b1_1111);
    /// `\p{N}`
    pub const NUMBER: Class = Class(0b1100_0000);
    /// `\p{P}`
    pub const PUNCTUATION: Class = Class(0b11_0000_0000);

    /// The class of one character.
    pub fn of(c: char) -> Class {
        PAGES.of(c)
    }

    /// Whether the sets have a class in common.
    pub const fn intersects(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }

    /// The classes in either set.
    pub const fn or(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    /// The classes that are not in this set.
    pub const fn not(self) -> Class {
        Class(!self.0 & 0x1fff)
    }
}

impl BitOr for Class {
    type Output = Class;

    fn bitor(self, other: Class) -> Class {
        self.or(other)
    }
}

/// Whether `\w` matches: alphabetic characters, marks, decimal digits, connector punctuation and the two joiners.
pub fn is_word(c: char) -> bool {
    const PLAIN: Class = Class::LETTER.or(Class::MARK).or(Class::DECIMAL).or(Class::CONNECTOR);
    Class::of(c).intersects(PLAIN) || c.is_alphabetic() || matches!(c, '\u{200c}' | '\u{200d}')
}

/// Two-level table: code point / 256 selects a page; equal pages are stored once.
struct Pages {
    page_of: Vec<u16>,
    classes: Vec<Class>,
}

static PAGES: LazyLock<Pages> = LazyLock::new(Pages::build);

impl Pages {
    fn build() -> Pages {
        let mut pages = Pages { page_of: Vec::with_capacity(0x1100), classes: Vec::new() };
        let mut change = 0;
        let mut seen: Vec<[Class; 256]> = Vec::new();
        for first in (0..0x11_0000u32).step_by(256) {
            let mut page = [Class::OTHER; 256];
            for (code, slot) in (first..).zip(page.iter_mut()) {
                while table::CHANGES.get(change + 1).is_some_and(|next| next.0 <= code) {
                    change += 1;
                }
                *slot = table::CHANGES[change].1;
            }
            let number = seen.iter().position(|old| *old == page).unwrap_or_else(|| {
                seen.push(page);
                pages.classes.extend_from_slice(&page);
                seen.len() - 1
            });
            pages.page_of.push(number as u16);
        }
        pages
    }

    #[inline]
    fn of(&self, c: char) -> Class {
        let code = c as usize;
        self.classes[self.page_of[code >> 8] as usize * 256 + (code & 255)]
    }
}
