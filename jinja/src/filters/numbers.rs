//! Filters of numbers, and Python's conversions to numbers.

use super::super::arguments::{Args, flag, integer};
use super::super::ast::Operator;
use super::super::fault::{FaultKind, Result, fail};
use super::super::interpreter::Interpreter;
use super::super::unicode;
use super::super::value::Value;

pub(super) fn abs(value: &Value, args: Args) -> Result<Value> {
    let [] = args.bind("abs", [], 0)?;
    match value {
        Value::Float(x) => Ok(Value::Float(x.abs())),
        _ => match value.as_int() {
            Some(x) => Ok(Value::Int(x.abs())),
            None => fail(FaultKind::Type, format!("abs: expected a number, found {}", value.type_name())),
        },
    }
}

/// `int(value, default=0, base=10)`: what is no number is the default.
pub(super) fn int(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [default, base] = args.bind("int", ["default", "base"], 0)?;
    let default = default.unwrap_or(Value::Int(0));
    let base = integer(base, 10)?;
    value.defined()?;
    let from_float = |x: f64| -> Result<Value> {
        if x.is_finite() && x.abs() >= 1e38 {
            return fail(FaultKind::Unsupported, "an integer of more than 127 bits");
        }
        Ok(if x.is_finite() { Value::Int(x as i128) } else { default.clone() })
    };
    match value {
        Value::Str(text) => {
            vm.charge_bytes(text.text.len())?;
            if let Some(parsed) = parse_int(&text.text, base)? {
                return Ok(Value::Int(parsed));
            }
            parse_float(&text.text).map_or(Ok(default.clone()), from_float)
        }
        Value::Float(x) if x.is_infinite() => fail(FaultKind::Overflow, "int: infinity is no integer"),
        Value::Float(x) => from_float(*x),
        _ => Ok(value.as_int().map_or(default, Value::Int)),
    }
}

/// `int(text, base)`, or `None` if it is no integer.
fn parse_int(text: &str, base: i128) -> Result<Option<i128>> {
    let text = text.trim_matches(unicode::is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0b") => 2,
        Some("0o") => 8,
        Some("0x") => 16,
        _ => 0,
    };
    let mut base = match u32::try_from(base) {
        Ok(base @ (0 | 2..=36)) => base,
        _ => return Ok(None),
    };
    let mut digits = digits;
    let mut leading = false;
    if prefix != 0 && (base == 0 || base == prefix) {
        (base, leading) = (prefix, true);
        digits = &digits[2..];
    } else if base == 0 {
        base = 10;
        if digits.starts_with('0') && digits.contains(|c| !matches!(c, '0' | '_')) {
            return Ok(None);
        }
    }
    let Some(digits) = plain_digits(digits, leading) else { return Ok(None) };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Ok(None);
    }
    match i128::from_str_radix(&digits, base) {
        Ok(value) => Ok(Some(if negative { -value } else { value })),
        Err(_) => fail(FaultKind::Unsupported, "an integer of more than 127 bits"),
    }
}

/// Digits of any script as ASCII, without single underscores between digits, or first if `leading`.
fn plain_digits(text: &str, leading: bool) -> Option<String> {
    let mut out = String::new();
    let mut before_is_digit = leading;
    for c in text.chars() {
        if c == '_' {
            if !before_is_digit {
                return None;
            }
            before_is_digit = false;
            continue;
        }
        out.push(unicode::decimal_value(c).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c));
        before_is_digit = true;
    }
    (!text.ends_with('_')).then_some(out)
}

/// `float(text)`, or `None` if it is no number.
fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(unicode::is_space);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    if matches!(unsigned.as_str(), "inf" | "infinity" | "nan") {
        return text.to_ascii_lowercase().parse().ok();
    }
    // An underscore may only stand between digits.
    let bytes: Vec<char> = text.chars().collect();
    let is_digit =
        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|c| unicode::is_decimal(*c));
    let misplaced =
        |(at, c): (usize, &char)| *c == '_' && !(is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)));
    if bytes.iter().enumerate().any(misplaced) {
        return None;
    }
    let plain: String = bytes
        .iter()
        .filter(|c| **c != '_')
        .map(|c| unicode::decimal_value(*c).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(*c))
        .collect();
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if plain.chars().all(allowed) { plain.parse().ok() } else { None }
}

/// `float(value, default=0.0)`.
pub(super) fn float(value: &Value, args: Args) -> Result<Value> {
    let [default] = args.bind("float", ["default"], 0)?;
    value.defined()?;
    let number = match value {
        Value::Str(text) => parse_float(&text.text),
        _ => value.as_float(),
    };
    Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
}

/// `round(value, precision=0, method='common')`.
pub(super) fn round(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [precision, method] = args.bind("round", ["precision", "method"], 0)?;
    let precision = precision.unwrap_or(Value::Int(0));
    let method = method.unwrap_or_else(|| Value::str("common"));
    match method.as_str() {
        Some("common") => common(value, precision.index()?),
        Some(method @ ("ceil" | "floor")) => {
            let power = vm.binary(Operator::Pow, &Value::Int(10), &precision)?;
            let scaled = match vm.binary(Operator::Mul, value, &power)? {
                Value::Float(x) if !x.is_finite() => {
                    return fail(FaultKind::Overflow, format!("round: {x} has no {method}"));
                }
                Value::Float(x) if x.abs() >= 1e38 => {
                    return fail(FaultKind::Unsupported, "an integer of more than 127 bits");
                }
                Value::Float(x) => Value::Int(if method == "ceil" { x.ceil() } else { x.floor() } as i128),
                other @ (Value::Int(_) | Value::Bool(_)) => other,
                other => return fail(FaultKind::Type, format!("round: {} is no number", other.type_name())),
            };
            vm.binary(Operator::Div, &scaled, &power)
        }
        _ => fail(FaultKind::Runtime, "round: the method must be common, ceil or floor"),
    }
}

/// Python's `round(value, precision)`: to the nearest, and halves to even.
fn common(value: &Value, precision: i128) -> Result<Value> {
    match value {
        Value::Float(x) if !x.is_finite() || precision > 323 => Ok(value.clone()),
        Value::Float(x) if precision >= 0 => {
            // Formatting rounds the exact value of the float, and halves to even.
            let text = format!("{x:.*}", precision as usize);
            Ok(Value::Float(text.parse().unwrap_or(*x)))
        }
        Value::Float(x) => {
            let power = 10f64.powi(i32::try_from(-precision).unwrap_or(i32::MAX));
            if power.is_infinite() {
                return Ok(Value::Float(0f64.copysign(*x)));
            }
            Ok(Value::Float((x / power).round_ties_even() * power))
        }
        _ => {
            let Some(x) = value.as_int() else {
                value.defined()?;
                return fail(FaultKind::Type, format!("round: {} is no number", value.type_name()));
            };
            if precision >= 0 {
                return Ok(Value::Int(x));
            }
            let power = u32::try_from(-precision).ok().and_then(|exponent| 10i128.checked_pow(exponent));
            let Some(power) = power else { return Ok(Value::Int(0)) };
            let (quotient, rest) = (x.div_euclid(power), x.rem_euclid(power));
            let up = rest > power - rest || (rest == power - rest && quotient % 2 != 0);
            Ok(Value::Int((quotient + i128::from(up)) * power))
        }
    }
}

pub(super) fn filesizeformat(value: &Value, args: Args) -> Result<Value> {
    let [binary] = args.bind("filesizeformat", ["binary"], 0)?;
    let binary = flag(binary, false);
    value.defined()?;
    let bytes = match value {
        Value::Str(text) => parse_float(&text.text),
        _ => value.as_float(),
    };
    let Some(bytes) = bytes else {
        return fail(FaultKind::Type, format!("filesizeformat: {} is no number", value.type_name()));
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(Value::str("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::str(format!("{} Bytes", bytes as i128)));
    }
    let letters = if binary { "KMGTPEZY" } else { "kMGTPEZY" };
    let mut unit = base;
    for (i, letter) in letters.chars().enumerate() {
        unit *= base;
        if bytes < unit || i == 7 {
            let suffix = if binary { "iB" } else { "B" };
            return Ok(Value::str(format!("{:.1} {letter}{suffix}", base * bytes / unit)));
        }
    }
    fail(FaultKind::Value, "filesizeformat: this is no size")
}
