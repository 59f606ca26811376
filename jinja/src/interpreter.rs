//! Runs a template: statements write to the output, expressions give values. Everything that takes time or memory is
//! charged to a budget, and recursion has a limit.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::arguments::Args;
use super::ast::{Arguments, Expr, Kind, Name, Statement, Target};
use super::dict::Dict;
use super::fault::{FaultKind, Result, fail, fault};
use super::iterate::Values;
use super::macros::MacroValue;
use super::value::Value;
use super::{filters, functions, tests};

/// Limit of nested evaluation: calls of macros and expressions inside expressions.
const DEEPEST: usize = 2000;
/// Bytes and items that cost one unit.
const BYTES_PER_UNIT: usize = 16;
const UNITS_PER_ITEM: usize = 2;

/// The state of a rendering.
pub(super) struct Interpreter {
    budget: Cell<u64>,
    depth: Cell<usize>,
    /// The time of `strftime_now`.
    pub(super) seconds: i64,
    /// Whether the output of generation blocks is marked.
    marked: bool,
    /// All namespaces, and the scopes that macros keep: both can hold themselves, so they are cleared in the end.
    pub(super) namespaces: RefCell<Vec<Rc<RefCell<Dict>>>>,
    pub(super) kept: RefCell<Vec<Rc<Scope>>>,
}

/// Variables, and those around them.
pub(super) struct Scope {
    variables: RefCell<HashMap<Name, Value>>,
    outer: Option<Rc<Scope>>,
    /// The scope of the whole template.
    top: bool,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Scope {
    fn new(outer: Option<Rc<Scope>>, top: bool) -> Rc<Scope> {
        Rc::new(Scope { variables: RefCell::default(), outer, top })
    }

    pub(super) fn inside(outer: &Rc<Scope>) -> Rc<Scope> {
        Scope::new(Some(Rc::clone(outer)), false)
    }

    pub(super) fn set(&self, name: Name, value: Value) {
        self.variables.borrow_mut().insert(name, value);
    }

    fn get(&self, name: &str) -> Option<Value> {
        let mut scope = Some(self);
        while let Some(current) = scope {
            if let Some(value) = current.variables.borrow().get(name) {
                return Some(value.clone());
            }
            scope = current.outer.as_deref();
        }
        None
    }

    /// The template's own scope, which blocks see.
    fn top(self: &Rc<Scope>) -> Rc<Scope> {
        let mut scope = Rc::clone(self);
        while let (false, Some(outer)) = (scope.top, &scope.outer) {
            scope = Rc::clone(outer);
        }
        scope
    }
}

impl Interpreter {
    pub(super) fn new(budget: u64, seconds: i64, marked: bool) -> Interpreter {
        Interpreter {
            budget: Cell::new(budget),
            depth: Cell::new(0),
            seconds,
            marked,
            namespaces: RefCell::default(),
            kept: RefCell::default(),
        }
    }

    /// Renders a template with these variables.
    pub(super) fn render(&self, body: &[Statement], variables: Vec<(Name, Value)>) -> Result<String> {
        let context = Scope::new(None, false);
        for (name, value) in variables {
            context.set(name, value);
        }
        let scope = Scope::new(Some(context), true);
        let mut out = String::new();
        let rendered = self.run(body, &scope, &mut out);
        self.namespaces.borrow().iter().for_each(|namespace| namespace.borrow_mut().clear());
        let kept = self.kept.borrow();
        let variables: Vec<_> = kept.iter().map(|scope| scope.variables.take()).collect();
        drop(variables);
        rendered.map(|_| out)
    }

    /// Charges units of work.
    pub(super) fn charge(&self, units: u64) -> Result<()> {
        match self.budget.get().checked_sub(units) {
            Some(rest) => {
                self.budget.set(rest);
                Ok(())
            }
            None => {
                self.budget.set(0);
                fail(FaultKind::Work, "the budget is used up")
            }
        }
    }

    pub(super) fn charge_bytes(&self, bytes: usize) -> Result<()> {
        self.charge((bytes / BYTES_PER_UNIT) as u64)
    }

    pub(super) fn charge_items(&self, items: usize) -> Result<()> {
        self.charge(items.saturating_mul(UNITS_PER_ITEM) as u64)
    }

    /// Runs `work` one level deeper.
    pub(super) fn deeper<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = self.depth.get();
        if depth >= DEEPEST {
            return fail(FaultKind::Work, "too many nested calls");
        }
        self.depth.set(depth + 1);
        let result = work();
        self.depth.set(depth);
        result
    }

    pub(super) fn run(&self, body: &[Statement], scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        for statement in body {
            self.charge(1)?;
            let flow = self.statement(statement, scope, out)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    /// The output of statements in a scope of their own.
    pub(super) fn captured(&self, body: &[Statement], scope: &Rc<Scope>) -> Result<String> {
        let mut out = String::new();
        self.deeper(|| self.run(body, scope, &mut out))?;
        Ok(out)
    }

    fn print(&self, text: &str, out: &mut String) -> Result<()> {
        self.charge_bytes(text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn statement(&self, statement: &Statement, scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        match statement {
            Statement::Text(text) => self.print(text, out)?,
            Statement::Print(expr) => {
                let value = self.eval(expr, scope)?;
                let text = self.str(&value).map_err(|fault| fault.at(expr.span))?;
                self.print(&text, out)?;
            }
            Statement::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.eval(condition, scope)?.truth() {
                        return self.deeper(|| self.run(body, scope, out));
                    }
                }
                return self.deeper(|| self.run(otherwise, scope, out));
            }
            Statement::For(statement) => {
                let items = self.eval(&statement.items, scope)?;
                self.deeper(|| self.run_for(statement, &items, 0, scope, out))?;
            }
            Statement::Set(target, expr) => {
                let value = self.eval(expr, scope)?;
                self.assign(target, value, scope)?;
            }
            Statement::SetBlock(target, filter, body) => {
                let text = Value::str(self.captured(body, &Scope::inside(scope))?);
                let value = match filter {
                    Some(filter) => self.eval_filter(filter, Some(text), scope)?,
                    None => text,
                };
                self.assign(target, value, scope)?;
            }
            Statement::With(variables, body) => {
                let inner = Scope::inside(scope);
                for (target, expr) in variables {
                    let value = self.eval(expr, scope)?;
                    self.assign(target, value, &inner)?;
                }
                return self.deeper(|| self.run(body, &inner, out));
            }
            Statement::Macro(definition) => {
                if let Some(name) = &definition.name {
                    scope.set(Name::clone(name), MacroValue::value(self, definition, scope));
                }
            }
            Statement::Call(call, body) => {
                let caller = MacroValue::value(self, body, scope);
                let Kind::Call(callee, arguments) = &call.kind else {
                    return fail(FaultKind::Syntax, "expected a call");
                };
                let value = self.eval(callee, scope)?;
                let mut args = self.arguments(arguments, scope)?;
                args.named.push(("caller".into(), caller));
                let result = self.call(&value, args).map_err(|fault| fault.at(call.span))?;
                let text = self.str(&result).map_err(|fault| fault.at(call.span))?;
                self.print(&text, out)?;
            }
            Statement::FilterBlock(filter, body) => {
                let text = Value::str(self.captured(body, &Scope::inside(scope))?);
                let value = self.eval_filter(filter, Some(text), scope)?;
                let text = self.str(&value).map_err(|fault| fault.at(filter.span))?;
                self.print(&text, out)?;
            }
            Statement::Generation(body) => {
                let text = self.captured(body, &Scope::inside(scope))?;
                let marks = super::MARKS.map(|mark| if self.marked { Some(mark) } else { None });
                out.extend(marks[0]);
                self.print(&text, out)?;
                out.extend(marks[1]);
            }
            Statement::Block(body) => {
                let inner = Scope::inside(&scope.top());
                self.deeper(|| self.run(body, &inner, out))?;
            }
            Statement::Load(tag, span) => {
                let message = format!("`{tag}`: there are no other templates to load");
                return Err(fault(FaultKind::Type, message).at(*span));
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    pub(super) fn assign(&self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(Name::clone(name), value),
            Target::Attribute(name, attribute, span) => match scope.get(name) {
                Some(Value::Namespace(dict)) => {
                    let key = Value::str(Name::clone(attribute));
                    functions::check_name(&key).map_err(|fault| fault.at(*span))?;
                    dict.borrow_mut().insert(key, value).map_err(|fault| fault.at(*span))?;
                }
                _ => {
                    let message =
                        format!("`{name}` is not a namespace, so its attributes cannot be assigned");
                    return Err(fault(FaultKind::Runtime, message).at(*span));
                }
            },
            Target::Tuple(targets, span) => {
                let values = self.collect(&value).map_err(|fault| fault.at(*span))?;
                if values.len() != targets.len() {
                    let message = format!("{} values for {} names", values.len(), targets.len());
                    return Err(fault(FaultKind::Value, message).at(*span));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value, scope)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn eval(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        self.charge(1)?;
        self.deeper(|| self.eval_kind(expr, scope)).map_err(|fault| fault.at(expr.span))
    }

    fn eval_all(&self, exprs: &[Expr], scope: &Rc<Scope>) -> Result<Vec<Value>> {
        self.charge_items(exprs.len())?;
        exprs.iter().map(|expr| self.eval(expr, scope)).collect()
    }

    fn eval_kind(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        Ok(match &expr.kind {
            Kind::None => Value::None,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => Value::Int(*value),
            Kind::Float(value) => Value::Float(*value),
            Kind::Str(text) => Value::str(Name::clone(text)),
            Kind::Name(name) => match scope.get(name) {
                Some(value) => value,
                None => match functions::find(name) {
                    Some(function) => Value::Function(function),
                    None if &**name == "self" => return fail(FaultKind::Unsupported, "`self`"),
                    None => Value::undefined(format!("`{name}` is undefined")),
                },
            },
            Kind::List(items) => Value::list(self.eval_all(items, scope)?)?,
            Kind::Tuple(items) => Value::tuple(self.eval_all(items, scope)?)?,
            Kind::Dict(items) => {
                let mut dict = Dict::default();
                self.charge_items(items.len())?;
                for (key, value) in items {
                    let key = self.eval(key, scope)?;
                    dict.insert(key, self.eval(value, scope)?)?;
                }
                dict.value()
            }
            Kind::Attribute(value, name) => {
                let value = self.eval(value, scope)?;
                self.attribute(&value, name)?
            }
            Kind::Item(value, index) => {
                let value = self.eval(value, scope)?;
                let index = self.eval(index, scope)?;
                self.item(&value, &index)?
            }
            Kind::Slice(parts) => {
                let mut values = [Value::None, Value::None, Value::None];
                for (value, part) in values.iter_mut().zip(parts.iter()) {
                    if let Some(part) = part {
                        *value = self.eval(part, scope)?;
                    }
                }
                Value::Slice(Rc::new(values))
            }
            Kind::Call(callee, arguments) => {
                let callee = self.eval(callee, scope)?;
                let args = self.arguments(arguments, scope)?;
                self.call(&callee, args)?
            }
            Kind::Filter(..) => self.eval_filter(expr, None, scope)?,
            Kind::Test(value, name, arguments) => {
                let value = self.eval(value, scope)?;
                let args = self.arguments(arguments, scope)?;
                Value::Bool(tests::call(self, name, &value, args)?)
            }
            Kind::Compare(first, others) => {
                let mut left = self.eval(first, scope)?;
                for (comparison, right) in others {
                    let right = self.eval(right, scope)?;
                    if !self.compare(*comparison, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Kind::Binary(operator, left, right) => {
                let left = self.eval(left, scope)?;
                let right = self.eval(right, scope)?;
                self.binary(*operator, &left, &right)?
            }
            Kind::Concat(parts) => {
                let mut out = String::new();
                for part in parts {
                    let value = self.eval(part, scope)?;
                    let text = self.str(&value)?;
                    self.charge_bytes(text.len())?;
                    out.push_str(&text);
                }
                Value::str(out)
            }
            Kind::Negative(operand) => self.negative(&self.eval(operand, scope)?)?,
            Kind::Positive(operand) => self.positive(&self.eval(operand, scope)?)?,
            Kind::Not(operand) => Value::Bool(!self.eval(operand, scope)?.truth()),
            Kind::And(left, right) => match self.eval(left, scope)? {
                left if left.truth() => self.eval(right, scope)?,
                left => left,
            },
            Kind::Or(left, right) => match self.eval(left, scope)? {
                left if left.truth() => left,
                _ => self.eval(right, scope)?,
            },
            Kind::If(condition, value, otherwise) => {
                if self.eval(condition, scope)?.truth() {
                    self.eval(value, scope)?
                } else if let Some(otherwise) = otherwise {
                    self.eval(otherwise, scope)?
                } else {
                    Value::undefined("a conditional expression without `else` whose condition is false")
                }
            }
        })
    }

    /// A filter expression; the innermost filter of a filter block has its text as value.
    fn eval_filter(&self, expr: &Expr, block: Option<Value>, scope: &Rc<Scope>) -> Result<Value> {
        let Kind::Filter(value, name, arguments) = &expr.kind else { return self.eval(expr, scope) };
        let value = match (value, block) {
            (Some(value), Some(block)) => self.deeper(|| self.eval_filter(value, Some(block), scope))?,
            (Some(value), None) => self.eval(value, scope)?,
            (None, block) => block.unwrap_or(Value::None),
        };
        let args = self.arguments(arguments, scope)?;
        filters::call(self, name, &value, args).map_err(|fault| fault.at(expr.span))
    }

    fn arguments(&self, arguments: &Arguments, scope: &Rc<Scope>) -> Result<Args> {
        let mut args = Args::of(self.eval_all(&arguments.positional, scope)?);
        for (name, value) in &arguments.named {
            args.named.push((Name::clone(name), self.eval(value, scope)?));
        }
        if let Some(star) = &arguments.star {
            args.positional.extend(self.collect(&self.eval(star, scope)?)?);
        }
        if let Some(double_star) = &arguments.double_star {
            let Value::Dict(dict) = self.eval(double_star, scope)? else {
                return fail(FaultKind::Type, "`**` needs a dict");
            };
            for (name, value) in dict.items() {
                let name = Name::clone(&name.string()?.text);
                if args.named.iter().any(|(known, _)| *known == name) {
                    return fail(FaultKind::Type, format!("argument `{name}` is given twice"));
                }
                args.named.push((name, value.clone()));
            }
        }
        Ok(args)
    }

    /// Calls a value.
    pub(super) fn call(&self, callee: &Value, args: Args) -> Result<Value> {
        self.charge(1)?;
        match callee {
            Value::Function(function) => functions::call(self, *function, args),
            Value::Method(method) => self.call_method(&method.0, method.1, args),
            Value::Macro(called) => self.deeper(|| called.call(self, args)),
            Value::Loop(context) => self.deeper(|| context.recurse(self, args)),
            Value::Joiner(joiner) => {
                args.positional::<0>("joiner", 0)?;
                Ok(if joiner.used.replace(true) { joiner.separator.clone() } else { Value::str("") })
            }
            _ => {
                callee.defined()?;
                fail(FaultKind::Type, format!("{} cannot be called", callee.type_name()))
            }
        }
    }

    /// The items of an iterable.
    pub(super) fn values(&self, value: &Value) -> Result<Values> {
        Values::of(self, value)
    }
}
