//! The operators on values, as Python defines them.

use std::cmp::Ordering;

use super::ast::{Comparison, Operator};
use super::dict::Key;
use super::fault::{Fault, FaultKind, Result, fail, fault};
use super::format;
use super::interpreter::Interpreter;
use super::iterate::Values;
use super::value::{Text, Value};

fn too_big<T>() -> Result<T> {
    fail(FaultKind::Unsupported, "an integer of more than 127 bits")
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Sub => "-",
            Operator::Mul => "*",
            Operator::Div => "/",
            Operator::FloorDiv => "//",
            Operator::Mod => "%",
            Operator::Pow => "**",
        }
    }
}

impl Interpreter {
    pub(super) fn binary(&self, operator: Operator, left: &Value, right: &Value) -> Result<Value> {
        if let (Operator::Mod, Value::Str(text)) = (operator, left) {
            return format::percent(self, text, right);
        }
        left.defined()?;
        right.defined()?;
        let unfit = || {
            let (left, right) = (left.type_name(), right.type_name());
            let message = format!("operator {} cannot be applied to {left} and {right}", operator.symbol());
            fault(FaultKind::Type, message)
        };
        match (left, right) {
            (Value::Float(_), _) | (_, Value::Float(_)) => {
                let (Some(a), Some(b)) = (left.as_float(), right.as_float()) else { return Err(unfit()) };
                of_floats(operator, a, b)
            }
            (Value::Int(_) | Value::Bool(_), Value::Int(_) | Value::Bool(_)) => {
                of_integers(operator, left.as_int().unwrap_or(0), right.as_int().unwrap_or(0))
            }
            (Value::Str(a), Value::Str(b)) if operator == Operator::Add => self.add_texts(a, b),
            (Value::List(a), Value::List(b)) if operator == Operator::Add => {
                self.charge_items(a.items.len() + b.items.len())?;
                Value::list([&a.items[..], &b.items[..]].concat())
            }
            (Value::Tuple(a), Value::Tuple(b)) if operator == Operator::Add => {
                self.charge_items(a.items.len() + b.items.len())?;
                Value::tuple([&a.items[..], &b.items[..]].concat())
            }
            (sequence, count) | (count, sequence)
                if operator == Operator::Mul
                    && count.as_int().is_some()
                    && matches!(sequence, Value::Str(_) | Value::List(_) | Value::Tuple(_)) =>
            {
                self.repeat(sequence, count.as_int().unwrap_or(0))
            }
            (Value::View(..), _) if operator == Operator::Sub => {
                fail(FaultKind::Unsupported, "a set, as the difference of views of a dict")
            }
            _ => Err(unfit()),
        }
    }

    /// Adding to markup escapes what is not markup.
    fn add_texts(&self, a: &Text, b: &Text) -> Result<Value> {
        self.charge_bytes(a.text.len() + b.text.len())?;
        let markup = a.markup || b.markup;
        let part = |text: &Text| {
            if markup && !text.markup { super::html::escape(&text.text) } else { text.text.to_string() }
        };
        Ok(Value::text(part(a) + &part(b), markup))
    }

    fn repeat(&self, sequence: &Value, count: i128) -> Result<Value> {
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        match sequence {
            Value::Str(text) => {
                self.charge_bytes(text.text.len().saturating_mul(count))?;
                let count = if text.text.is_empty() { 0 } else { count };
                Ok(Value::text(text.text.repeat(count), text.markup))
            }
            Value::List(items) | Value::Tuple(items) => {
                self.charge_items(items.items.len().saturating_mul(count))?;
                let count = if items.items.is_empty() { 0 } else { count };
                let repeated = std::iter::repeat_n(&items.items, count).flatten().cloned().collect();
                if matches!(sequence, Value::List(_)) {
                    Value::list(repeated)
                } else {
                    Value::tuple(repeated)
                }
            }
            _ => fail(FaultKind::Type, "only sequences can be repeated"),
        }
    }

    pub(super) fn negative(&self, value: &Value) -> Result<Value> {
        value.defined()?;
        match value {
            Value::Float(x) => Ok(Value::Float(-x)),
            _ => match value.as_int() {
                Some(x) => Ok(Value::Int(-x)),
                None => fail(FaultKind::Type, format!("{} has no negative", value.type_name())),
            },
        }
    }

    pub(super) fn positive(&self, value: &Value) -> Result<Value> {
        value.defined()?;
        match value {
            Value::Float(x) => Ok(Value::Float(*x)),
            _ => match value.as_int() {
                Some(x) => Ok(Value::Int(x)),
                None => fail(FaultKind::Type, format!("{} takes no sign", value.type_name())),
            },
        }
    }

    pub(super) fn compare(&self, comparison: Comparison, left: &Value, right: &Value) -> Result<bool> {
        let ordered =
            |holds: fn(Ordering) -> bool| -> Result<bool> { Ok(self.order(left, right)?.is_some_and(holds)) };
        match comparison {
            Comparison::Eq => self.equal(left, right),
            Comparison::Ne => Ok(!self.equal(left, right)?),
            Comparison::Lt => ordered(Ordering::is_lt),
            Comparison::Le => ordered(Ordering::is_le),
            Comparison::Gt => ordered(Ordering::is_gt),
            Comparison::Ge => ordered(Ordering::is_ge),
            Comparison::In => self.contains(right, left),
            Comparison::NotIn => Ok(!self.contains(right, left)?),
        }
    }

    /// `left == right`.
    pub(super) fn equal(&self, left: &Value, right: &Value) -> Result<bool> {
        self.charge(1)?;
        Ok(match (left, right) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(a), Value::Str(b)) => {
                self.charge_bytes(a.text.len().min(b.text.len()))?;
                a.text == b.text
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, value) in a.items() {
                    match b.get(key)? {
                        Some(other) if self.equal(value, other)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Range(a), Value::Range(b)) => {
                let key =
                    |range: &super::value::Range| (range.len(), range.get(0).map(|first| first.as_int()));
                key(a) == key(b) && (a.len() < 2 || a.step == b.step)
            }
            (Value::View(..), Value::View(..)) => {
                return fail(FaultKind::Unsupported, "comparing views of dicts");
            }
            (Value::Namespace(a), Value::Namespace(b)) => std::rc::Rc::ptr_eq(a, b),
            (Value::Macro(a), Value::Macro(b)) => std::rc::Rc::ptr_eq(a, b),
            (Value::Function(a), Value::Function(b)) => a == b,
            (Value::Iterator(a), Value::Iterator(b)) => std::rc::Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => std::rc::Rc::ptr_eq(a, b),
            _ => numeric_order(left, right).is_some_and(|order| order == Some(Ordering::Equal)),
        })
    }

    /// The order of two values; `None` if a NaN has none.
    pub(super) fn order(&self, left: &Value, right: &Value) -> Result<Option<Ordering>> {
        self.charge(1)?;
        left.defined()?;
        right.defined()?;
        if let Some(order) = numeric_order(left, right) {
            return Ok(order);
        }
        match (left, right) {
            (Value::Str(a), Value::Str(b)) => {
                self.charge_bytes(a.text.len().min(b.text.len()))?;
                Ok(Some(a.text.cmp(&b.text)))
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !self.equal(a, b)? {
                        return self.order(a, b);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => {
                let (left, right) = (left.type_name(), right.type_name());
                fail(FaultKind::Type, format!("{left} and {right} have no order"))
            }
        }
    }

    /// `item in container`.
    pub(super) fn contains(&self, container: &Value, item: &Value) -> Result<bool> {
        match container {
            Value::Undefined(_) => Ok(false),
            Value::Str(text) => match item {
                Value::Str(part) => {
                    self.charge_bytes(text.text.len())?;
                    Ok(text.text.contains(&*part.text))
                }
                _ => fail(FaultKind::Type, format!("a string cannot contain {}", item.type_name())),
            },
            Value::Dict(dict) => Ok(dict.get(item)?.is_some()),
            Value::View(super::value::View::Keys, dict) => Ok(dict.get(item)?.is_some()),
            Value::List(_)
            | Value::Tuple(_)
            | Value::View(..)
            | Value::Range(_)
            | Value::Iterator(_)
            | Value::Loop(_) => {
                let mut values = Values::of(self, container)?;
                while let Some(value) = values.next(self)? {
                    if self.equal(&value, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => fail(FaultKind::Type, format!("{} contains nothing", container.type_name())),
        }
    }

    /// `left is right`. Where Python leaves it to the implementation, it is refused.
    pub(super) fn same(&self, left: &Value, right: &Value) -> Result<bool> {
        use std::rc::Rc;
        Ok(match (left, right) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) if a != b || (-5..=256).contains(a) => a == b,
            (Value::Float(a), Value::Float(b)) if a != b => false,
            (Value::Str(a), Value::Str(b)) if a.text != b.text || a.markup != b.markup => false,
            (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
            (Value::Tuple(a), Value::Tuple(b)) if !a.items.is_empty() => Rc::ptr_eq(a, b),
            (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Macro(a), Value::Macro(b)) => Rc::ptr_eq(a, b),
            (Value::Str(_), Value::Str(_))
            | (Value::Int(_), Value::Int(_))
            | (Value::Float(_), Value::Float(_))
            | (Value::Tuple(_), Value::Tuple(_)) => {
                return fail(FaultKind::Unsupported, "the identity of equal values");
            }
            _ if std::mem::discriminant(left) != std::mem::discriminant(right) => false,
            _ => return fail(FaultKind::Unsupported, format!("the identity of {}", left.type_name())),
        })
    }

    /// The key of a value in a set or dict.
    pub(super) fn key(&self, value: &Value) -> Result<Key> {
        self.charge(1)?;
        Key::of(value)
    }
}

/// The order of two numbers, exactly; `None` if one is no number, `Some(None)` with a NaN.
fn numeric_order(left: &Value, right: &Value) -> Option<Option<Ordering>> {
    match (left.as_int(), right.as_int()) {
        (Some(a), Some(b)) => return Some(Some(a.cmp(&b))),
        (Some(a), None) => return integer_and_float(a, right.as_float()?).into(),
        (None, Some(b)) => return Some(integer_and_float(b, left.as_float()?).map(Ordering::reverse)),
        (None, None) => {}
    }
    Some(left.as_float()?.partial_cmp(&right.as_float()?))
}

fn integer_and_float(a: i128, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    if b.abs() >= 1e38 {
        return Some(if b > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    // The cast truncates towards zero, so the fraction decides between equal integers.
    Some(a.cmp(&(b as i128)).then_with(|| 0.0.partial_cmp(&b.fract()).unwrap_or(Ordering::Equal)))
}

fn of_integers(operator: Operator, a: i128, b: i128) -> Result<Value> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mul => a.checked_mul(b),
        Operator::Div => {
            return if b == 0 { Err(zero()) } else { quotient(a, b) };
        }
        Operator::FloorDiv | Operator::Mod => {
            if b == 0 {
                return Err(zero());
            }
            // Python rounds towards minus infinity, and the remainder has the divisor's sign.
            let (quotient, rest) = match (a.checked_div(b), a.checked_rem(b)) {
                (Some(quotient), Some(rest)) => (quotient, rest),
                _ => return too_big(),
            };
            let below = rest != 0 && (rest < 0) != (b < 0);
            Some(match operator {
                Operator::FloorDiv => quotient - i128::from(below),
                _ => rest + if below { b } else { 0 },
            })
        }
        Operator::Pow if b < 0 => return of_floats(operator, a as f64, b as f64),
        Operator::Pow => match u32::try_from(b) {
            Ok(exponent) => a.checked_pow(exponent),
            Err(_) if (-1..=1).contains(&a) => a.checked_pow((b % 2 + 2) as u32),
            Err(_) => None,
        },
    };
    result.map_or_else(too_big, |value| Ok(Value::Int(value)))
}

/// `a / b`. It is rounded once where both integers are floats; others are refused.
fn quotient(a: i128, b: i128) -> Result<Value> {
    const EXACT: u128 = 1 << 53;
    if a.unsigned_abs() > EXACT || b.unsigned_abs() > EXACT {
        if a % b == 0 {
            return Ok(Value::Float((a / b) as f64));
        }
        return fail(FaultKind::Unsupported, "the quotient of integers above 2**53");
    }
    Ok(Value::Float(a as f64 / b as f64))
}

fn zero() -> Box<Fault> {
    fault(FaultKind::ZeroDivision, "the divisor is zero")
}

fn of_floats(operator: Operator, a: f64, b: f64) -> Result<Value> {
    Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Pow => {
            if a == 0.0 && b < 0.0 {
                return Err(zero());
            }
            if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
                return fail(FaultKind::Unsupported, "a complex number");
            }
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                return fail(FaultKind::Overflow, "the power is too large");
            }
            power
        }
        _ if b == 0.0 => return Err(zero()),
        Operator::Div => a / b,
        Operator::Mod => modulo(a, b).1,
        Operator::FloorDiv => modulo(a, b).0,
    }))
}

/// The quotient rounded down, and the remainder with the divisor's sign, in the steps of CPython's `float_divmod`.
fn modulo(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 {
        if (b < 0.0) != (rest < 0.0) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = 0f64.copysign(b);
    }
    let floor = if quotient != 0.0 {
        let floor = quotient.floor();
        if quotient - floor > 0.5 { floor + 1.0 } else { floor }
    } else {
        0f64.copysign(a / b)
    };
    (floor, rest)
}
