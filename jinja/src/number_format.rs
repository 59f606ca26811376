//! The format specification of Python: `[[fill]align][sign][#][0][width][grouping][.precision][type]`, and how numbers
//! and texts are written with it.

use super::fault::{FaultKind, Result, fail, fault};
use super::interpreter::Interpreter;
use super::repr;

/// Digits after the point that a format may ask for.
const MOST_DIGITS: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    Centre,
    /// Between the sign and the digits.
    AfterSign,
}

#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) fill: char,
    pub(super) align: Option<Align>,
    /// `-`, `+` or a space.
    pub(super) sign: char,
    pub(super) alternate: bool,
    pub(super) width: usize,
    /// `,` or `_`.
    grouping: Option<char>,
    pub(super) precision: Option<usize>,
    /// The type, or a space.
    pub(super) kind: char,
    signed: bool,
    /// `z`: what is rounded to zero has no minus.
    positive_zero: bool,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            fill: ' ',
            align: None,
            sign: '-',
            alternate: false,
            width: 0,
            grouping: None,
            precision: None,
            kind: ' ',
            signed: false,
            positive_zero: false,
        }
    }
}

impl Spec {
    pub(super) fn parse(text: &str) -> Result<Spec> {
        let mut spec = Spec::default();
        let align = |c: char| match c {
            '<' => Some(Align::Left),
            '>' => Some(Align::Right),
            '^' => Some(Align::Centre),
            '=' => Some(Align::AfterSign),
            _ => None,
        };
        let mut rest = text.chars().peekable();
        let mut start = text.chars();
        if let (Some(fill), Some(second)) = (start.next(), start.next())
            && let Some(found) = align(second)
        {
            (spec.fill, spec.align) = (fill, Some(found));
            rest.next();
            rest.next();
        } else if let Some(found) = rest.peek().and_then(|c| align(*c)) {
            spec.align = Some(found);
            rest.next();
        }
        if let Some(sign) = rest.next_if(|c| "+- ".contains(*c)) {
            (spec.sign, spec.signed) = (sign, true);
        }
        spec.positive_zero = rest.next_if_eq(&'z').is_some();
        spec.alternate = rest.next_if_eq(&'#').is_some();
        if rest.next_if_eq(&'0').is_some() {
            if spec.align.is_none() {
                spec.zeros();
            } else if spec.fill == ' ' {
                spec.fill = '0';
            }
        }
        let number = |rest: &mut std::iter::Peekable<std::str::Chars>| -> Result<Option<usize>> {
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() {
                return Ok(None);
            }
            digits.parse().map(Some).map_err(|_| fault(FaultKind::Value, "a number in a format is too large"))
        };
        spec.width = number(&mut rest)?.unwrap_or(0);
        spec.grouping = rest.next_if(|c| matches!(c, ',' | '_'));
        if rest.next_if_eq(&'.').is_some() {
            let missing = || fault(FaultKind::Value, "a format lacks the precision after its point");
            spec.precision = Some(number(&mut rest)?.ok_or_else(missing)?);
        }
        spec.kind = rest.next().unwrap_or(' ');
        match rest.next() {
            None => Ok(spec),
            Some(_) => fail(FaultKind::Value, format!("invalid format {text:?}")),
        }
    }

    /// Fills with zeros after the sign.
    pub(super) fn zeros(&mut self) {
        (self.fill, self.align) = ('0', Some(Align::AfterSign));
    }

    /// A text for a field of `str.format`, which refuses what only numbers have.
    pub(super) fn checked_text(mut self, vm: &Interpreter, text: &str) -> Result<String> {
        if self.fill == '0' && self.align == Some(Align::AfterSign) {
            self.align = Some(Align::Left);
        }
        let invalid = self.signed
            || self.positive_zero
            || self.alternate
            || self.grouping.is_some()
            || !matches!(self.kind, ' ' | 's');
        if invalid || self.align == Some(Align::AfterSign) {
            return fail(FaultKind::Value, "a format for numbers with a string");
        }
        self.align.get_or_insert(Align::Left);
        self.text(vm, text)
    }

    /// A text, cut to the precision and padded to the width.
    pub(super) fn text(&self, vm: &Interpreter, text: &str) -> Result<String> {
        match self.precision {
            Some(most) => {
                let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
                self.padded(vm, "", &text[..end])
            }
            None => self.padded(vm, "", text),
        }
    }

    fn padded(&self, vm: &Interpreter, sign: &str, text: &str) -> Result<String> {
        let length = sign.chars().count() + text.chars().count();
        let missing = self.width.saturating_sub(length);
        vm.charge_bytes(missing.saturating_mul(4).saturating_add(text.len()))?;
        let fill = |n: usize| self.fill.to_string().repeat(n);
        Ok(match self.align.unwrap_or(Align::Left) {
            Align::Left => format!("{sign}{text}{}", fill(missing)),
            Align::Right => format!("{}{sign}{text}", fill(missing)),
            Align::Centre => format!("{}{sign}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            Align::AfterSign => format!("{sign}{}{text}", fill(missing)),
        })
    }

    fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        }
    }

    /// Digits with separators; zeros that fill the width get separators too.
    fn grouped(&self, digits: &str, every: usize, taken: usize) -> String {
        let Some(separator) = self.grouping else { return digits.to_owned() };
        let (whole, rest) = digits.split_at(digits.find(['.', 'e', 'E']).unwrap_or(digits.len()));
        let mut whole = whole.to_owned();
        let written = |whole: &str| {
            let mut out = String::new();
            for (i, digit) in whole.chars().enumerate() {
                if i > 0 && (whole.len() - i).is_multiple_of(every) {
                    out.push(separator);
                }
                out.push(digit);
            }
            out
        };
        if self.fill == '0' && self.align == Some(Align::AfterSign) && self.width < 1 << 16 {
            while written(&whole).len() + rest.len() + taken < self.width {
                whole.insert(0, '0');
            }
        }
        written(&whole) + rest
    }

    /// An integer; `percent` is for the operator `%`, where a precision is the least number of digits.
    pub(super) fn integer(&self, vm: &Interpreter, value: i128, percent: bool) -> Result<String> {
        let magnitude = value.unsigned_abs();
        let (mut digits, prefix, every) = match self.kind {
            ' ' | 'd' | 'n' => (magnitude.to_string(), "", 3),
            'b' if !percent => (format!("{magnitude:b}"), "0b", 4),
            'o' => (format!("{magnitude:o}"), "0o", 4),
            'x' => (format!("{magnitude:x}"), "0x", 4),
            'X' => (format!("{magnitude:X}"), "0X", 4),
            'c' if !percent => {
                let c = u32::try_from(value).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| fault(FaultKind::Overflow, "no character has this number"))?;
                return self.text(vm, &c.to_string());
            }
            kind => return fail(FaultKind::Value, format!("unknown format {kind:?} for an integer")),
        };
        match self.precision {
            Some(_) if !percent => {
                return fail(FaultKind::Value, "a precision in the format of an integer");
            }
            _ if self.positive_zero => return fail(FaultKind::Value, "`z` in the format of an integer"),
            Some(least) if least > digits.len() => {
                vm.charge_bytes(least)?;
                digits = "0".repeat(least - digits.len()) + &digits;
            }
            _ => {}
        }
        if self.grouping == Some(',') && every == 4 {
            return fail(FaultKind::Value, "a comma in the format of digits that are not decimal");
        }
        let mut sign = self.sign_of(value < 0).to_owned();
        if self.alternate {
            sign.push_str(prefix);
        }
        let digits = self.grouped(&digits, every, sign.len());
        self.padded(vm, &sign, &digits)
    }

    pub(super) fn float(&self, vm: &Interpreter, value: f64) -> Result<String> {
        let precision = self.precision.unwrap_or(6);
        if precision > MOST_DIGITS {
            return fail(FaultKind::Unsupported, format!("a precision above {MOST_DIGITS}"));
        }
        let magnitude = value.abs();
        let mut digits = if !value.is_finite() {
            let name = if value.is_nan() { "nan" } else { "inf" };
            format!("{name}{}", if self.kind == '%' { "%" } else { "" })
        } else {
            match self.kind {
                'f' | 'F' => self.fixed(magnitude, precision),
                '%' => self.fixed(magnitude * 100.0, precision) + "%",
                'e' | 'E' => self.scientific(magnitude, precision),
                'g' | 'G' | 'n' => self.general(magnitude, precision, false),
                ' ' if self.precision.is_some() => self.general(magnitude, precision, true),
                ' ' => repr::float(magnitude),
                kind => return fail(FaultKind::Value, format!("unknown format {kind:?} for a float")),
            }
        };
        let is_zero = self.positive_zero && !digits.contains(|c| matches!(c, '1'..='9' | 'i'));
        let sign = self.sign_of(value.is_sign_negative() && !value.is_nan() && !is_zero);
        if self.kind.is_ascii_uppercase() {
            digits = digits.to_uppercase();
        }
        let digits = if value.is_finite() { self.grouped(&digits, 3, sign.len()) } else { digits };
        self.padded(vm, sign, &digits)
    }

    fn fixed(&self, value: f64, precision: usize) -> String {
        let point = if self.alternate && precision == 0 { "." } else { "" };
        format!("{value:.precision$}{point}")
    }

    fn scientific(&self, value: f64, precision: usize) -> String {
        let text = format!("{value:.precision$e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let point = if self.alternate && precision == 0 { "." } else { "" };
        format!("{digits}{point}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }

    /// `precision` significant digits. With `like_repr` at least one digit follows the point.
    fn general(&self, value: f64, precision: usize, like_repr: bool) -> String {
        let precision = precision.max(1);
        let rounded = format!("{value:.*e}", precision - 1);
        let exponent: i32 =
            rounded.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
        let most = precision as i32 - i32::from(like_repr && precision > 1);
        let is_fixed = (-4..most.max(1)).contains(&exponent) || (like_repr && value == 0.0);
        let text = if is_fixed {
            let after = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
            self.fixed(value, after)
        } else {
            self.scientific(value, precision - 1)
        };
        if self.alternate {
            return text;
        }
        let (digits, exponent) = text.split_at(text.find('e').unwrap_or(text.len()));
        let short =
            if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        let zero = if like_repr && exponent.is_empty() && !short.contains('.') { ".0" } else { "" };
        format!("{short}{zero}{exponent}")
    }
}
