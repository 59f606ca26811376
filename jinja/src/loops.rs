//! `for` loops, and the variable `loop`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Args;
use super::ast::For;
use super::fault::{FaultKind, Result, fail};
use super::interpreter::{Flow, Interpreter, Scope};
use super::iterate::Values;
use super::value::{Value, check_depth};

/// The state of a loop: what `loop` is in its body. Items are taken one by one, because a condition may depend on what
/// the body has done; the length or the next item takes them early.
pub(super) struct LoopContext {
    statement: Arc<For>,
    scope: Rc<Scope>,
    /// The length, for what can be counted without being consumed.
    length: Cell<Option<usize>>,
    items: RefCell<Values>,
    /// Items taken early.
    ahead: RefCell<std::collections::VecDeque<Value>>,
    index0: Cell<i128>,
    previous: RefCell<Option<Value>>,
    current: RefCell<Option<Value>>,
    changed: RefCell<Option<Value>>,
    depth0: usize,
    /// How deep values are nested in the items.
    pub(super) depth: usize,
}

impl Interpreter {
    /// Runs a loop over `items`; `depth0` counts its recursion.
    pub(super) fn run_for(
        &self,
        statement: &Arc<For>,
        items: &Value,
        depth0: usize,
        scope: &Rc<Scope>,
        out: &mut String,
    ) -> Result<()> {
        let values = self.values(items).map_err(|fault| fault.at(statement.items.span))?;
        let counted = statement.condition.is_none() && !matches!(items, Value::Iterator(_) | Value::Loop(_));
        let length = if counted { self.length(items)? } else { None };
        let context = Rc::new(LoopContext {
            statement: Arc::clone(statement),
            scope: Rc::clone(scope),
            length: Cell::new(length),
            items: RefCell::new(values),
            ahead: RefCell::default(),
            index0: Cell::new(-1),
            previous: RefCell::default(),
            current: RefCell::default(),
            changed: RefCell::default(),
            depth0,
            depth: check_depth(items.depth() + 1)?,
        });
        // As in Jinja, the `else` runs unless the body was completed at least once.
        let mut completed = false;
        while let Some(item) = context.advance(self)? {
            let inner = Scope::inside(scope);
            inner.set("loop".into(), Value::Loop(Rc::clone(&context)));
            self.assign(&statement.target, item, &inner)?;
            match self.run(&statement.body, &inner, out)? {
                Flow::Break => break,
                Flow::Continue => {}
                Flow::Next => completed = true,
            }
        }
        if !completed {
            self.run(&statement.otherwise, &Scope::inside(scope), out)?;
        }
        Ok(())
    }
}

impl LoopContext {
    /// The next item that the condition accepts.
    fn take(&self, vm: &Interpreter) -> Result<Option<Value>> {
        loop {
            let next = match self.items.try_borrow_mut() {
                Ok(mut items) => items.next(vm)?,
                Err(_) => return fail(FaultKind::Value, "an iterator is already being advanced"),
            };
            let Some(item) = next else { return Ok(None) };
            let Some(condition) = &self.statement.condition else { return Ok(Some(item)) };
            let inner = Scope::inside(&self.scope);
            let outside = "`loop` in the condition of its own loop";
            inner.set("loop".into(), Value::undefined(outside));
            vm.assign(&self.statement.target, item.clone(), &inner)?;
            if vm.eval(condition, &inner)?.truth() {
                return Ok(Some(item));
            }
        }
    }

    /// Goes on to the next item.
    pub(super) fn advance(&self, vm: &Interpreter) -> Result<Option<Value>> {
        let early = self.ahead.borrow_mut().pop_front();
        let next = match early {
            Some(next) => Some(next),
            None => self.take(vm)?,
        };
        if next.is_some() {
            self.index0.set(self.index0.get() + 1);
            let before = self.current.replace(next.clone());
            self.previous.replace(before);
        }
        Ok(next)
    }

    fn peek(&self, vm: &Interpreter) -> Result<Option<Value>> {
        if self.ahead.borrow().is_empty()
            && let Some(next) = self.take(vm)?
        {
            self.ahead.borrow_mut().push_back(next);
        }
        Ok(self.ahead.borrow().front().cloned())
    }

    pub(super) fn length(&self, vm: &Interpreter) -> Result<usize> {
        if let Some(length) = self.length.get() {
            return Ok(length);
        }
        while let Some(next) = self.take(vm)? {
            vm.charge_items(1)?;
            self.ahead.borrow_mut().push_back(next);
        }
        let length = self.ahead.borrow().len() + usize::try_from(self.index0.get() + 1).unwrap_or(0);
        self.length.set(Some(length));
        Ok(length)
    }

    pub(super) fn index0(&self) -> i128 {
        self.index0.get()
    }

    /// `loop.index` and the like.
    pub(super) fn attribute(&self, vm: &Interpreter, name: &str) -> Result<Option<Value>> {
        let index0 = self.index0.get();
        Ok(Some(match name {
            "index0" => Value::Int(index0),
            "index" => Value::Int(index0 + 1),
            "first" => Value::Bool(index0 == 0),
            "last" => Value::Bool(self.peek(vm)?.is_none()),
            "length" => Value::int(self.length(vm)?),
            "revindex" => Value::Int(self.length(vm)? as i128 - index0),
            "revindex0" => Value::Int(self.length(vm)? as i128 - index0 - 1),
            "depth0" => Value::int(self.depth0),
            "depth" => Value::int(self.depth0 + 1),
            "previtem" => match &*self.previous.borrow() {
                Some(previous) => previous.clone(),
                None => Value::undefined("there is no previous item"),
            },
            "nextitem" => self.peek(vm)?.unwrap_or_else(|| Value::undefined("there is no next item")),
            _ => return Ok(None),
        }))
    }

    /// `loop.cycle` and `loop.changed`.
    pub(super) fn call(&self, vm: &Interpreter, method: &str, args: Args) -> Result<Value> {
        if let Some((name, _)) = args.named.first() {
            return fail(FaultKind::Type, format!("{method}: no argument named `{name}`"));
        }
        if method == "cycle" {
            return match args.positional.len() {
                0 => fail(FaultKind::Type, "cycle: no items are given"),
                length => Ok(args.positional[self.index0.get().max(0) as usize % length].clone()),
            };
        }
        let now = Value::tuple(args.positional)?;
        let before = self.changed.borrow().clone();
        let changed = match &before {
            Some(before) => !vm.equal(before, &now)?,
            None => true,
        };
        if changed {
            self.changed.replace(Some(now));
        }
        Ok(Value::Bool(changed))
    }

    /// `loop(items)`, in a recursive loop.
    pub(super) fn recurse(&self, vm: &Interpreter, args: Args) -> Result<Value> {
        let [items] = args.bind("loop", ["iterable"], 1)?;
        if !self.statement.recursive {
            return fail(FaultKind::Type, "this loop is not recursive, so `loop` cannot be called");
        }
        let mut out = String::new();
        vm.run_for(&self.statement, &items.unwrap_or(Value::None), self.depth0 + 1, &self.scope, &mut out)?;
        Ok(Value::str(out))
    }
}
