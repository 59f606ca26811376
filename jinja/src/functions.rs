//! The global functions of a template.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::arguments::{Args, given};
use super::dict::Dict;
use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::time;
use super::value::{Cycler, Function, Joiner, Range, Value, check_depth};

/// The sandbox's limit of the length of a range.
const LONGEST_RANGE: usize = 100_000;

pub(super) fn find(name: &str) -> Option<Function> {
    Some(match name {
        "range" => Function::Range,
        "dict" => Function::Dict,
        "namespace" => Function::Namespace,
        "cycler" => Function::Cycler,
        "joiner" => Function::Joiner,
        "lipsum" => Function::Lipsum,
        "raise_exception" => Function::RaiseException,
        "strftime_now" => Function::StrftimeNow,
        _ => return None,
    })
}

pub(super) fn call(vm: &Interpreter, function: Function, args: Args) -> Result<Value> {
    match function {
        Function::Range => range(args),
        Function::Dict => Ok(dict(vm, args)?.value()),
        Function::Namespace => {
            let dict = dict(vm, args)?;
            for (name, _) in dict.items() {
                check_name(name)?;
            }
            Ok(vm.namespace(dict))
        }
        Function::Cycler => {
            let items = args.positional;
            if items.is_empty() || !args.named.is_empty() {
                return fail(FaultKind::Type, "cycler: at least one item expected");
            }
            let depth = check_depth(items.iter().map(Value::depth).max().unwrap_or(0) + 1)?;
            Ok(Value::Cycler(Rc::new(Cycler { items, at: Cell::new(0), depth })))
        }
        Function::Joiner => {
            let [separator] = args.bind("joiner", ["sep"], 0)?;
            let separator = separator.unwrap_or_else(|| Value::str(", "));
            check_depth(separator.depth() + 1)?;
            Ok(Value::Joiner(Rc::new(Joiner { separator, used: Cell::new(false) })))
        }
        Function::Lipsum => fail(FaultKind::Unsupported, "lipsum, which is random"),
        Function::RaiseException => {
            let [message] = args.bind("raise_exception", ["message"], 1)?;
            fail(FaultKind::Raised, &*vm.str(&message.unwrap_or(Value::None))?)
        }
        Function::StrftimeNow => {
            let [format] = args.bind("strftime_now", ["format"], 1)?;
            let format = format.unwrap_or(Value::None);
            let format = &format.string()?.text;
            vm.charge_bytes(format.len().saturating_mul(16))?;
            match time::strftime(format, vm.seconds) {
                Ok(text) => Ok(Value::str(text)),
                Err(message) => fail(FaultKind::Unsupported, message),
            }
        }
        Function::FromKeys => from_keys(vm, args),
    }
}

fn range(args: Args) -> Result<Value> {
    let [first, second, step] = args.positional("range", 1)?;
    let first = first.unwrap_or(Value::None).index()?;
    let (start, stop) = match second {
        Some(stop) => (first, stop.index()?),
        None => (0, first),
    };
    let step = step.map_or(Ok(1), |step| step.index())?;
    if step == 0 {
        return fail(FaultKind::Value, "range: the step is zero");
    }
    const FAR: i128 = 1 << 100;
    if [start, stop, step].iter().any(|value| value.abs() > FAR) {
        return fail(FaultKind::Unsupported, "range: a bound of more than 100 bits");
    }
    let range = Range { start, stop, step };
    if range.len() > LONGEST_RANGE {
        return fail(FaultKind::Overflow, format!("range: at most {LONGEST_RANGE} items are allowed"));
    }
    Ok(Value::Range(range))
}

/// `dict(pairs or mapping, **named)`.
fn dict(vm: &Interpreter, args: Args) -> Result<Dict> {
    let mut dict = Dict::default();
    let named = args.named;
    let [from] = Args::of(args.positional).positional("dict", 0)?;
    match from {
        None => {}
        Some(Value::Dict(from)) => dict = (*from).clone(),
        Some(pairs) => {
            for pair in vm.collect(&pairs)? {
                match &vm.collect(&pair)?[..] {
                    [key, value] => dict.insert(key.clone(), value.clone())?,
                    _ => return fail(FaultKind::Value, "dict: expected pairs of a key and a value"),
                }
            }
        }
    }
    vm.charge_items(dict.len() + named.len())?;
    for (name, value) in named {
        dict.insert(Value::str(name), value)?;
    }
    Ok(dict)
}

/// `dict.fromkeys(keys, value=None)`.
pub(super) fn from_keys(vm: &Interpreter, args: Args) -> Result<Value> {
    let [keys, value] = args.positional("fromkeys", 1)?;
    let value = given(value).unwrap_or(Value::None);
    let keys = vm.collect(&keys.unwrap_or(Value::None))?;
    Ok(Dict::from_pairs(keys.into_iter().map(|key| (key, value.clone())))?.value())
}

/// Names that begin with an underscore are refused, as in transformers.
pub(super) fn check_name(name: &Value) -> Result<()> {
    match name.as_str() {
        Some(name) if name.starts_with('_') => {
            fail(FaultKind::Security, format!("the attribute `{name}` of a namespace"))
        }
        _ => Ok(()),
    }
}

impl Interpreter {
    fn namespace(&self, dict: Dict) -> Value {
        let namespace = Rc::new(RefCell::new(dict));
        self.namespaces.borrow_mut().push(Rc::clone(&namespace));
        Value::Namespace(namespace)
    }
}
