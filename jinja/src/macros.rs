//! Macros, and the bodies of calls, which are macros without a name.

use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Args;
use super::ast::{Macro, Name};
use super::dict::Dict;
use super::fault::{FaultKind, Result, fail};
use super::interpreter::{Interpreter, Scope};
use super::value::Value;

/// A macro and the scope it was defined in, whose variables it sees as they are when it is called.
pub(super) struct MacroValue {
    pub(super) definition: Arc<Macro>,
    scope: Rc<Scope>,
}

impl MacroValue {
    pub(super) fn value(vm: &Interpreter, definition: &Arc<Macro>, scope: &Rc<Scope>) -> Value {
        let mut kept = vm.kept.borrow_mut();
        if !kept.last().is_some_and(|last| Rc::ptr_eq(last, scope)) {
            kept.push(Rc::clone(scope));
        }
        Value::Macro(Rc::new(MacroValue { definition: Arc::clone(definition), scope: Rc::clone(scope) }))
    }

    pub(super) fn call(&self, vm: &Interpreter, args: Args) -> Result<Value> {
        let Macro { name, parameters, defaults, body, uses } = &*self.definition;
        let name = name.as_deref().unwrap_or("caller");
        let scope = Scope::inside(&self.scope);
        let Args { positional, mut named } = args;
        let take = |named: &mut Vec<(Name, Value)>, name: &str| -> Option<Value> {
            let at = named.iter().position(|(known, _)| **known == *name)?;
            Some(named.remove(at).1)
        };
        let mut rest = positional.into_iter();
        let mut missing = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            match rest.next().or_else(|| take(&mut named, parameter)) {
                Some(value) => scope.set(Name::clone(parameter), value),
                None => missing.push((i, parameter)),
            }
        }
        if uses.caller {
            let caller = take(&mut named, "caller").filter(|caller| !matches!(caller, Value::None));
            let caller = caller.unwrap_or_else(|| Value::undefined("this macro was called without a body"));
            scope.set("caller".into(), caller);
        }
        if uses.kwargs {
            let pairs = named.into_iter().map(|(name, value)| (Value::str(name), value));
            scope.set("kwargs".into(), Dict::from_pairs(pairs)?.value());
        } else if let Some((unknown, _)) = named.first() {
            return fail(FaultKind::Type, format!("macro `{name}` takes no argument named `{unknown}`"));
        }
        let rest: Vec<Value> = rest.collect();
        if uses.varargs {
            scope.set("varargs".into(), Value::tuple(rest)?);
        } else if !rest.is_empty() {
            let message = format!("macro `{name}` takes at most {} arguments", parameters.len());
            return fail(FaultKind::Type, message);
        }
        // A parameter hides outer variables of its name, also from the defaults before its own.
        for (_, parameter) in &missing {
            let why = format!("parameter `{parameter}` of macro `{name}` is not given");
            scope.set(Name::clone(parameter), Value::undefined(why));
        }
        let first_default = parameters.len() - defaults.len();
        for (i, parameter) in missing {
            if let Some(default) = i.checked_sub(first_default).and_then(|i| defaults.get(i)) {
                let value = vm.eval(default, &scope)?;
                scope.set(Name::clone(parameter), value);
            }
        }
        Ok(Value::str(vm.captured(body, &scope)?))
    }

    /// `name`, `arguments` and the other attributes of a macro.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<Value>> {
        let Macro { name: own, parameters, uses, .. } = &*self.definition;
        Ok(Some(match name {
            "name" => own.as_ref().map_or(Value::None, |own| Value::str(Name::clone(own))),
            "arguments" => {
                Value::tuple(parameters.iter().map(|name| Value::str(Name::clone(name))).collect())?
            }
            "catch_kwargs" => Value::Bool(uses.kwargs),
            "catch_varargs" => Value::Bool(uses.varargs),
            "caller" => Value::Bool(uses.caller),
            _ => return Ok(None),
        }))
    }
}
