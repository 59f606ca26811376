//! Parses expressions, from the weakest operator to the strongest: conditional, or, and, not, comparison, sum,
//! concatenation, product, power, sign, postfix, filter.

use super::ast::{Arguments, Comparison, Expr, Kind, Operator, Span};
use super::fault::{FaultKind, Result, fault};
use super::lexer::Token;
use super::parser::Parser;
use super::{filters, tests};

/// Limits of the depth of an expression: while it is parsed, and of its tree, which chains of operators deepen too.
const NESTING: usize = 100;
const DEEPEST: usize = 600;

impl Parser<'_> {
    /// An expression, or a tuple without parentheses. With `conditional`, `a if b` may be one.
    pub(super) fn tuple(&mut self, conditional: bool) -> Result<Expr> {
        self.tuple_or_empty(conditional, false)
    }

    fn tuple_or_empty(&mut self, conditional: bool, parentheses: bool) -> Result<Expr> {
        let start = self.span().start;
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let end = matches!(self.token(), Token::VariableEnd | Token::BlockEnd) || self.is_op(")");
            if end {
                break;
            }
            items.push(if conditional { self.expression()? } else { self.unconditional()? });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        if !is_tuple {
            if let Some(item) = items.pop() {
                return Ok(item);
            }
            if !parentheses {
                return Err(self.unexpected("an expression"));
            }
        }
        let (depth, span) = (deepest(&items), Span { start, end: self.end().max(start) });
        self.node(span, depth, Kind::Tuple(items))
    }

    /// A node over children of at most this depth.
    pub(super) fn node(&self, span: Span, depth: usize, kind: Kind) -> Result<Expr> {
        if depth >= DEEPEST {
            return Err(self.error(format!("an expression is nested deeper than {DEEPEST} levels")));
        }
        Ok(Expr { span, depth: depth + 1, kind })
    }

    fn binary(&self, left: Expr, right: Expr, kind: fn(Box<Expr>, Box<Expr>) -> Kind) -> Result<Expr> {
        let (start, depth) = (left.span.start, left.depth.max(right.depth));
        self.node(Span { start, end: self.end() }, depth, kind(Box::new(left), Box::new(right)))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.nesting += 1;
        if self.nesting > 2 * NESTING {
            return Err(self.error(format!("an expression is nested deeper than {NESTING} levels")));
        }
        let parsed = parse(self)?;
        self.nesting -= 1;
        Ok(parsed)
    }

    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(|parser| {
            let before = parser.unknown.take();
            let mut value = parser.unconditional()?;
            while parser.skip_name("if") {
                let soft = std::mem::replace(&mut parser.soft, true);
                parser.unknown = None;
                let condition = parser.unconditional()?;
                let otherwise =
                    if parser.skip_name("else") { Some(Box::new(parser.expression()?)) } else { None };
                parser.soft = soft;
                let depth = condition.depth.max(otherwise.as_ref().map_or(0, |otherwise| otherwise.depth));
                let (start, depth) = (value.span.start, depth.max(value.depth));
                let kind = Kind::If(Box::new(condition), Box::new(value), otherwise);
                value = parser.node(Span { start, end: parser.end() }, depth, kind)?;
            }
            parser.unknown = before.or(parser.unknown.take());
            Ok(value)
        })
    }

    /// Notes an unknown filter or test. As in Jinja it is an error at once, except inside a condition or a conditional
    /// expression: there only when it is reached.
    fn note_unknown(&mut self, what: &str, name: &str, span: Span) {
        if !self.soft {
            let unknown = || fault(FaultKind::Syntax, format!("unknown {what} `{name}`")).at(span);
            self.unknown.get_or_insert_with(unknown);
        }
    }

    fn unconditional(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            left = self.binary(left, right, Kind::Or)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            left = self.binary(left, right, Kind::And)?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        let start = self.span().start;
        if !self.skip_name("not") {
            return self.comparison();
        }
        let operand = self.nested(Self::not)?;
        self.node(Span { start, end: self.end() }, operand.depth, Kind::Not(Box::new(operand)))
    }

    fn comparison(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut others = Vec::new();
        loop {
            let comparison = match self.token() {
                Token::Op("==") => Comparison::Eq,
                Token::Op("!=") => Comparison::Ne,
                Token::Op("<") => Comparison::Lt,
                Token::Op("<=") => Comparison::Le,
                Token::Op(">") => Comparison::Gt,
                Token::Op(">=") => Comparison::Ge,
                Token::Name(name) if name == "in" => Comparison::In,
                Token::Name(name) if name == "not" => {
                    if !matches!(self.next_token(), Token::Name(next) if next == "in") {
                        break;
                    }
                    self.advance();
                    Comparison::NotIn
                }
                _ => break,
            };
            self.advance();
            others.push((comparison, self.sum()?));
        }
        if others.is_empty() {
            return Ok(first);
        }
        let depth = others.iter().map(|(_, other)| other.depth).max().unwrap_or(0).max(first.depth);
        let span = Span { start: first.span.start, end: self.end() };
        self.node(span, depth, Kind::Compare(Box::new(first), others))
    }

    /// A chain of binary operators of one strength.
    fn chain(
        &mut self,
        operators: &[(&str, Operator)],
        operand: fn(&mut Self) -> Result<Expr>,
    ) -> Result<Expr> {
        let mut left = operand(self)?;
        while let Some((text, operator)) = operators.iter().find(|(text, _)| self.is_op(text)) {
            self.expect_op(text)?;
            let right = operand(self)?;
            let (start, depth) = (left.span.start, left.depth.max(right.depth));
            let kind = Kind::Binary(*operator, Box::new(left), Box::new(right));
            left = self.node(Span { start, end: self.end() }, depth, kind)?;
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr> {
        self.chain(&[("+", Operator::Add), ("-", Operator::Sub)], Self::concatenation)
    }

    fn concatenation(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let start = first.span.start;
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        self.node(Span { start, end: self.end() }, deepest(&parts), Kind::Concat(parts))
    }

    fn product(&mut self) -> Result<Expr> {
        let operators =
            [("*", Operator::Mul), ("/", Operator::Div), ("//", Operator::FloorDiv), ("%", Operator::Mod)];
        self.chain(&operators, Self::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.chain(&[("**", Operator::Pow)], |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filters: bool) -> Result<Expr> {
        let start = self.span().start;
        let sign: Option<fn(Box<Expr>) -> Kind> = match self.token() {
            Token::Op("-") => Some(Kind::Negative),
            Token::Op("+") => Some(Kind::Positive),
            _ => None,
        };
        let mut node = match sign {
            Some(sign) => {
                self.advance();
                let operand = self.nested(|parser| parser.unary(false))?;
                let span = Span { start, end: self.end() };
                self.node(span, operand.depth, sign(Box::new(operand)))?
            }
            None => self.primary()?,
        };
        node = self.postfix(node)?;
        if !with_filters {
            return Ok(node);
        }
        loop {
            node = match self.token() {
                Token::Op("|") => self.filter(Some(node), false)?,
                Token::Name(name) if name == "is" => self.test(node)?,
                Token::Op("(") => self.call(node)?,
                _ => return Ok(node),
            };
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let span = self.span();
        let kind = match self.token() {
            Token::Name(name) => match name.as_str() {
                "true" | "True" => Kind::Bool(true),
                "false" | "False" => Kind::Bool(false),
                "none" | "None" => Kind::None,
                name => {
                    let name = name.to_owned();
                    match name.as_str() {
                        "caller" => self.uses.caller = true,
                        "varargs" => self.uses.varargs = true,
                        "kwargs" => self.uses.kwargs = true,
                        _ => {}
                    }
                    Kind::Name(name.into())
                }
            },
            Token::Str(text) => {
                let mut text = text.clone();
                while let Token::Str(more) = self.next_token() {
                    text.push_str(more);
                    self.advance();
                }
                Kind::Str(text.into())
            }
            Token::Int(value) => Kind::Int(*value),
            Token::Float(value) => Kind::Float(*value),
            Token::Op("(") => {
                self.advance();
                let inner = self.nested(|parser| parser.tuple_or_empty(true, true))?;
                self.expect_op(")")?;
                return Ok(inner);
            }
            Token::Op("[") => return self.list(),
            Token::Op("{") => return self.dict(),
            _ => return Err(self.unexpected("an expression")),
        };
        self.advance();
        self.node(Span { start: span.start, end: self.end() }, 0, kind)
    }

    fn list(&mut self) -> Result<Expr> {
        let start = self.span().start;
        self.advance();
        let mut items = Vec::new();
        while !self.is_op("]") {
            items.push(self.expression()?);
            if !self.skip_op(",") {
                break;
            }
        }
        self.expect_op("]")?;
        self.node(Span { start, end: self.end() }, deepest(&items), Kind::List(items))
    }

    fn dict(&mut self) -> Result<Expr> {
        let start = self.span().start;
        self.advance();
        let mut items = Vec::new();
        let mut depth = 0;
        while !self.is_op("}") {
            let key = self.expression()?;
            self.expect_op(":")?;
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            items.push((key, value));
            if !self.skip_op(",") {
                break;
            }
        }
        self.expect_op("}")?;
        self.node(Span { start, end: self.end() }, depth, Kind::Dict(items))
    }

    fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            node = match self.token() {
                Token::Op(".") => {
                    self.advance();
                    match self.token() {
                        Token::Int(index) => {
                            let (index, span) = (Kind::Int(*index), self.span());
                            self.advance();
                            let index = self.node(span, 0, index)?;
                            self.binary(node, index, Kind::Item)?
                        }
                        _ => {
                            let name = self.name()?;
                            let (start, depth) = (node.span.start, node.depth);
                            let kind = Kind::Attribute(Box::new(node), name);
                            self.node(Span { start, end: self.end() }, depth, kind)?
                        }
                    }
                }
                Token::Op("[") => {
                    let start = self.span().start;
                    self.advance();
                    let mut items = Vec::new();
                    while !self.is_op("]") {
                        if !items.is_empty() {
                            self.expect_op(",")?;
                        }
                        items.push(self.subscript()?);
                    }
                    self.advance();
                    let index = match items.pop() {
                        Some(index) if items.is_empty() => index,
                        last => {
                            items.extend(last);
                            let span = Span { start, end: self.end() };
                            self.node(span, deepest(&items), Kind::Tuple(items))?
                        }
                    };
                    self.binary(node, index, Kind::Item)?
                }
                Token::Op("(") => self.call(node)?,
                _ => return Ok(node),
            };
        }
    }

    fn subscript(&mut self) -> Result<Expr> {
        let start = self.span().start;
        let mut parts = [None, None, None];
        if !self.is_op(":") {
            let index = self.expression()?;
            if !self.is_op(":") {
                return Ok(index);
            }
            parts[0] = Some(index);
        }
        for part in &mut parts[1..] {
            if !self.skip_op(":") {
                break;
            }
            if !(self.is_op("]") || self.is_op(",") || self.is_op(":")) {
                *part = Some(self.expression()?);
            }
        }
        let depth = parts.iter().flatten().map(|part| part.depth).max().unwrap_or(0);
        self.node(Span { start, end: self.end() }, depth, Kind::Slice(Box::new(parts)))
    }

    fn call(&mut self, node: Expr) -> Result<Expr> {
        let (arguments, depth) = self.arguments()?;
        let (start, depth) = (node.span.start, node.depth.max(depth));
        self.node(Span { start, end: self.end() }, depth, Kind::Call(Box::new(node), arguments))
    }

    /// Arguments in parentheses, and their depth.
    fn arguments(&mut self) -> Result<(Arguments, usize)> {
        self.expect_op("(")?;
        let mut arguments = Arguments::default();
        let mut depth = 0;
        let invalid = |parser: &Self| parser.error("this argument cannot stand after the one before");
        while !self.is_op(")") {
            let is_name = matches!(self.token(), Token::Name(_)) && *self.next_token() == Token::Op("=");
            let any_star = arguments.star.is_some() || arguments.double_star.is_some();
            let misplaced = match () {
                () if self.is_op("*") => any_star,
                () if self.is_op("**") || is_name => arguments.double_star.is_some(),
                () => any_star || !arguments.named.is_empty(),
            };
            if misplaced {
                return Err(invalid(self));
            }
            let name = if is_name { Some(self.name()?) } else { None };
            if is_name {
                self.advance();
            }
            let star = name.is_none() && self.skip_op("*");
            let double_star = name.is_none() && !star && self.skip_op("**");
            let value = self.expression()?;
            depth = depth.max(value.depth);
            match name {
                Some(name) if arguments.named.iter().any(|(known, _)| *known == name) => {
                    return Err(
                        fault(FaultKind::Syntax, format!("argument `{name}` is repeated")).at(value.span)
                    );
                }
                Some(name) => arguments.named.push((name, value)),
                None if star => arguments.star = Some(Box::new(value)),
                None if double_star => arguments.double_star = Some(Box::new(value)),
                None => arguments.positional.push(value),
            }
            if !self.skip_op(",") {
                break;
            }
        }
        self.expect_op(")")?;
        Ok((arguments, depth))
    }

    fn dotted_name(&mut self) -> Result<String> {
        let mut name = self.name()?.to_string();
        while self.skip_op(".") {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }

    /// One filter; `inline` is without a `|`. A chain without a value, as in a filter block, is parsed whole.
    pub(super) fn filter(&mut self, value: Option<Expr>, mut inline: bool) -> Result<Expr> {
        let start = value.as_ref().map_or(self.span().start, |value| value.span.start);
        let mut value = value;
        let whole = value.is_none();
        loop {
            if !inline {
                self.expect_op("|")?;
            }
            inline = false;
            let span = self.span();
            let name = self.dotted_name()?;
            if !filters::exists(&name) {
                self.note_unknown("filter", &name, span);
            }
            let (arguments, depth) = if self.is_op("(") { self.arguments()? } else { Default::default() };
            let depth = depth.max(value.as_ref().map_or(0, |value| value.depth));
            let kind = Kind::Filter(value.map(Box::new), name.into(), arguments);
            let node = self.node(Span { start, end: self.end() }, depth, kind)?;
            if !whole || !self.is_op("|") {
                return Ok(node);
            }
            value = Some(node);
        }
    }

    fn test(&mut self, value: Expr) -> Result<Expr> {
        self.advance();
        let negated = self.skip_name("not");
        let span = self.span();
        let name = self.dotted_name()?;
        if !tests::exists(&name) {
            self.note_unknown("test", &name, span);
        }
        let operand = match self.token() {
            Token::Name(name) if name == "is" => return Err(self.error("tests cannot be chained with `is`")),
            Token::Name(name) => !matches!(name.as_str(), "else" | "or" | "and"),
            Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{") => true,
            _ => false,
        };
        let (arguments, depth) = if self.is_op("(") {
            self.arguments()?
        } else if operand {
            let operand = self.primary()?;
            let operand = self.nested(|parser| parser.postfix(operand))?;
            let depth = operand.depth;
            (Arguments { positional: vec![operand], ..Arguments::default() }, depth)
        } else {
            Default::default()
        };
        let (start, depth) = (value.span.start, depth.max(value.depth));
        let span = Span { start, end: self.end() };
        let node = self.node(span, depth, Kind::Test(Box::new(value), name.into(), arguments))?;
        if negated {
            let depth = node.depth;
            return self.node(span, depth, Kind::Not(Box::new(node)));
        }
        Ok(node)
    }
}

fn deepest(items: &[Expr]) -> usize {
    items.iter().map(|item| item.depth).max().unwrap_or(0)
}
