//! Parses the statements of a template. Expressions are in `expressions.rs`.

use std::sync::Arc;

use super::ast::{Expr, For, Kind, Macro, Name, Span, Statement, Target, Uses};
use super::fault::{Fault, FaultKind, Result, fault};
use super::lexer::{Spanned, Token};

/// Statements may be nested this deep.
const DEEPEST: usize = 100;

pub(super) struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Spanned>,
    at: usize,
    /// How many expressions and statements are being parsed inside one another.
    pub(super) nesting: usize,
    /// Whether unknown filters and tests are reported only when they are reached: inside a condition.
    pub(super) soft: bool,
    /// The first unknown filter or test since the last check.
    pub(super) unknown: Option<Box<Fault>>,
    /// The number of loops around, inside the innermost macro.
    loops: usize,
    /// Whether there is a generation block.
    generations: bool,
    /// The special names used since the innermost macro began.
    pub(super) uses: Uses,
}

/// Parses a whole template. Also returns whether it has generation blocks.
pub(super) fn parse(source: &str, tokens: Vec<Spanned>) -> Result<(Vec<Statement>, bool)> {
    let mut parser = Parser {
        source,
        tokens,
        at: 0,
        nesting: 0,
        soft: false,
        unknown: None,
        loops: 0,
        generations: false,
        uses: Uses::default(),
    };
    let (body, _) = parser.body(&[])?;
    Ok((body, parser.generations))
}

impl Parser<'_> {
    pub(super) fn token(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn next_token(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    pub(super) fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    /// The end of the token before.
    pub(super) fn end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |before| self.tokens[before].1.end)
    }

    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Box<Fault> {
        fault(FaultKind::Syntax, message).at(self.span())
    }

    /// An error of finding something else than `expected`.
    pub(super) fn unexpected(&self, expected: &str) -> Box<Fault> {
        let found = match self.token() {
            Token::End => "the end of the template".to_owned(),
            Token::Text(_) => "text".to_owned(),
            _ => format!("`{}`", &self.source[self.span().start..self.span().end]),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    pub(super) fn is_op(&self, operator: &str) -> bool {
        matches!(self.token(), Token::Op(found) if *found == operator)
    }

    pub(super) fn skip_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect_op(&mut self, operator: &str) -> Result<()> {
        if self.skip_op(operator) { Ok(()) } else { Err(self.unexpected(&format!("`{operator}`"))) }
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.token(), Token::Name(found) if found == name)
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        let Token::Name(name) = self.token() else { return Err(self.unexpected("a name")) };
        let name = Name::from(name.as_str());
        self.advance();
        Ok(name)
    }

    /// Statements up to a block whose name is one of `ends`, which it returns; the parser is then behind that name.
    fn body(&mut self, ends: &[&'static str]) -> Result<(Vec<Statement>, &'static str)> {
        self.nesting += 1;
        if self.nesting > DEEPEST {
            return Err(self.error(format!("blocks are nested deeper than {DEEPEST} levels")));
        }
        let mut body = Vec::new();
        loop {
            match self.token() {
                Token::Text(text) => {
                    body.push(Statement::Text(text.as_str().into()));
                    self.advance();
                }
                Token::VariableBegin => {
                    self.advance();
                    body.push(Statement::Print(self.tuple(true)?));
                    self.check_known()?;
                    if *self.token() != Token::VariableEnd {
                        return Err(self.unexpected("`}}`"));
                    }
                    self.advance();
                }
                Token::BlockBegin => {
                    self.advance();
                    if let Some(end) = ends.iter().find(|end| self.is_name(end)) {
                        self.advance();
                        self.nesting -= 1;
                        return Ok((body, end));
                    }
                    self.statement(&mut body)?;
                    self.block_end()?;
                }
                Token::End if ends.is_empty() => return Ok((body, "")),
                _ => return Err(self.unexpected(&format!("`{}`", ends.last().unwrap_or(&"text")))),
            }
        }
    }

    fn block_end(&mut self) -> Result<()> {
        if *self.token() != Token::BlockEnd {
            return Err(self.unexpected("`%}`"));
        }
        self.advance();
        self.check_known()
    }

    fn check_known(&mut self) -> Result<()> {
        self.unknown.take().map_or(Ok(()), Err)
    }

    /// `%}`, statements, and the end tag up to its name.
    fn block(&mut self, end: &'static str) -> Result<Vec<Statement>> {
        self.skip_op(":");
        self.block_end()?;
        Ok(self.body(&[end])?.0)
    }

    /// A block of statements with variables of their own, where unknown filters are errors at once.
    fn scope(&mut self, end: &'static str) -> Result<Vec<Statement>> {
        let soft = std::mem::take(&mut self.soft);
        let body = self.block(end)?;
        self.soft = soft;
        Ok(body)
    }

    fn statement(&mut self, body: &mut Vec<Statement>) -> Result<()> {
        let span = self.span();
        let Token::Name(tag) = self.token() else { return Err(self.unexpected("the name of a block")) };
        let tag = tag.clone();
        self.advance();
        let statement = match tag.as_str() {
            "if" => self.parse_if()?,
            "for" => self.parse_for()?,
            "set" => self.parse_set()?,
            "with" => self.parse_with()?,
            "macro" => {
                let name = self.name()?;
                let (parameters, defaults) = self.signature()?;
                Statement::Macro(self.macro_body(Some(name), parameters, defaults, "endmacro")?)
            }
            "call" => self.parse_call_block(span)?,
            "generation" => {
                // transformers renders the body as a call's; the marks it records are for training.
                self.generations = true;
                let loops = std::mem::take(&mut self.loops);
                let body = self.scope("endgeneration")?;
                self.loops = loops;
                Statement::Generation(body)
            }
            "filter" => {
                let filter = self.filter(None, true)?;
                let body = self.scope("endfilter")?;
                Statement::FilterBlock(filter, body)
            }
            "block" => {
                self.name()?;
                if self.skip_name("scoped") || self.skip_name("required") || self.is_op("-") {
                    return Err(fault(FaultKind::Unsupported, "a scoped or required block").at(span));
                }
                let loops = std::mem::take(&mut self.loops);
                let body = self.scope("endblock")?;
                self.loops = loops;
                if matches!(self.token(), Token::Name(_)) {
                    self.advance();
                }
                Statement::Block(body)
            }
            "print" => loop {
                body.push(Statement::Print(self.expression()?));
                if !self.skip_op(",") {
                    return Ok(());
                }
            },
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(fault(FaultKind::Syntax, format!("`{tag}` outside of a loop")).at(span));
                }
                if tag == "break" { Statement::Break } else { Statement::Continue }
            }
            "include" | "extends" | "import" | "from" => {
                while !matches!(self.token(), Token::BlockEnd | Token::End) {
                    self.advance();
                }
                let name = ["include", "extends", "import", "from"].into_iter().find(|name| *name == tag);
                Statement::Load(name.unwrap_or("include"), span)
            }
            "autoescape" => {
                return Err(fault(FaultKind::Unsupported, "the block `autoescape`").at(span));
            }
            _ => return Err(fault(FaultKind::Syntax, format!("unknown block `{tag}`")).at(span)),
        };
        body.push(statement);
        Ok(())
    }

    fn parse_if(&mut self) -> Result<Statement> {
        let soft = std::mem::replace(&mut self.soft, true);
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.tuple(false)?;
            self.skip_op(":");
            self.block_end()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            match end {
                "elif" => continue,
                "else" => otherwise = self.block("endif")?,
                _ => {}
            }
            self.soft = soft;
            return Ok(Statement::If(branches, otherwise));
        }
    }

    fn parse_for(&mut self) -> Result<Statement> {
        let soft = std::mem::take(&mut self.soft);
        let target = self.target(Some("in"), false)?;
        if !self.skip_name("in") {
            return Err(self.unexpected("`in`"));
        }
        self.refuse_loop(&target)?;
        let items = self.tuple(false)?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.loops += 1;
        self.skip_op(":");
        self.block_end()?;
        let (body, end) = self.body(&["endfor", "else"])?;
        self.loops -= 1;
        let otherwise = if end == "else" { self.block("endfor")? } else { Vec::new() };
        self.soft = soft;
        Ok(Statement::For(Arc::new(For { target, items, condition, recursive, body, otherwise })))
    }

    fn parse_set(&mut self) -> Result<Statement> {
        let target = self.target(None, true)?;
        if self.loops > 0 {
            self.refuse_loop(&target)?;
        }
        if self.skip_op("=") {
            return Ok(Statement::Set(target, self.tuple(true)?));
        }
        let filter = if self.is_op("|") { Some(self.filter(None, false)?) } else { None };
        let body = self.scope("endset")?;
        Ok(Statement::SetBlock(target, filter, body))
    }

    /// Inside a loop, `loop` is the loop's.
    fn refuse_loop(&self, target: &Target) -> Result<()> {
        match target {
            Target::Name(name) if &**name == "loop" => Err(self.error("`loop` cannot be assigned in a loop")),
            Target::Tuple(targets, _) => targets.iter().try_for_each(|target| self.refuse_loop(target)),
            _ => Ok(()),
        }
    }

    fn parse_with(&mut self) -> Result<Statement> {
        let mut variables = Vec::new();
        while !matches!(self.token(), Token::BlockEnd) {
            if !variables.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target(None, false)?;
            self.expect_op("=")?;
            variables.push((target, self.expression()?));
        }
        let body = self.scope("endwith")?;
        Ok(Statement::With(variables, body))
    }

    fn parse_call_block(&mut self, span: Span) -> Result<Statement> {
        let (parameters, defaults) = if self.is_op("(") { self.signature()? } else { Default::default() };
        let call = self.expression()?;
        if !matches!(call.kind, Kind::Call(..)) {
            return Err(fault(FaultKind::Syntax, "expected a call").at(span));
        }
        let body = self.macro_body(None, parameters, defaults, "endcall")?;
        Ok(Statement::Call(call, body))
    }

    fn macro_body(
        &mut self,
        name: Option<Name>,
        parameters: Vec<Name>,
        defaults: Vec<Expr>,
        end: &'static str,
    ) -> Result<Arc<Macro>> {
        let outer = std::mem::take(&mut self.uses);
        let loops = std::mem::take(&mut self.loops);
        let body = self.scope(end)?;
        self.loops = loops;
        let mut uses = std::mem::replace(&mut self.uses, outer);
        self.uses.caller |= uses.caller;
        self.uses.varargs |= uses.varargs;
        self.uses.kwargs |= uses.kwargs;
        let is_parameter = |special: &str| parameters.iter().any(|name| &**name == special);
        if is_parameter("caller") {
            return Err(self.error("a parameter named `caller`"));
        }
        uses.varargs &= !is_parameter("varargs");
        uses.kwargs &= !is_parameter("kwargs");
        Ok(Arc::new(Macro { name, parameters, defaults, body, uses }))
    }

    fn signature(&mut self) -> Result<(Vec<Name>, Vec<Expr>)> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.name()?;
            if parameters.contains(&name) {
                return Err(self.error(format!("two parameters named `{name}`")));
            }
            parameters.push(name);
            if self.skip_op("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return Err(self.error("a parameter without a default follows one with a default"));
            }
        }
        self.advance();
        Ok((parameters, defaults))
    }

    /// What is assigned: names, tuples of them, or with `attributes` also attributes of namespaces.
    fn target(&mut self, end: Option<&str>, attributes: bool) -> Result<Target> {
        let start = self.span().start;
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            let ended = end.is_some_and(|end| self.is_name(end)) || self.is_op("=") || self.is_op(")");
            if ended && !targets.is_empty() {
                break;
            }
            targets.push(self.one_target(attributes)?);
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match targets.pop() {
            Some(target) if !is_tuple => Ok(target),
            last => {
                targets.extend(last);
                Ok(Target::Tuple(targets, Span { start, end: self.end() }))
            }
        }
    }

    fn one_target(&mut self, attributes: bool) -> Result<Target> {
        let span = self.span();
        if self.skip_op("(") {
            self.nesting += 1;
            if self.nesting > DEEPEST {
                return Err(self.error("a target is nested too deep"));
            }
            let target = self.target(None, false)?;
            self.nesting -= 1;
            self.expect_op(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if attributes && self.skip_op(".") {
            let attribute = self.name()?;
            return Ok(Target::Attribute(name, attribute, Span { start: span.start, end: self.end() }));
        }
        if matches!(&*name, "true" | "false" | "none" | "True" | "False" | "None") {
            return Err(fault(FaultKind::Syntax, format!("`{name}` cannot be assigned")).at(span));
        }
        Ok(Target::Name(name))
    }
}
