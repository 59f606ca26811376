//! Why a template cannot be parsed or rendered.

use super::ast::Span;

/// The kind of a fault, after the exception that Python or Jinja raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// What cannot be parsed.
    Syntax,
    /// A use of an undefined value.
    Undefined,
    /// A value of the wrong type.
    Type,
    /// A value that is out of place.
    Value,
    /// No such key or index.
    Lookup,
    /// A division by zero.
    ZeroDivision,
    /// A number that is too large.
    Overflow,
    /// What the sandbox forbids.
    Security,
    /// Any other error while rendering.
    Runtime,
    /// `raise_exception`.
    Raised,
    /// The work budget is used up.
    Work,
    /// Something that Jinja can do and this interpreter cannot.
    Unsupported,
}

impl FaultKind {
    fn words(self) -> &'static str {
        match self {
            FaultKind::Syntax => "syntax error",
            FaultKind::Undefined => "undefined value",
            FaultKind::Type => "wrong type",
            FaultKind::Value => "invalid value",
            FaultKind::Lookup => "not found",
            FaultKind::ZeroDivision => "division by zero",
            FaultKind::Overflow => "overflow",
            FaultKind::Security => "not allowed in a template",
            FaultKind::Runtime => "error",
            FaultKind::Raised => "raised by the template",
            FaultKind::Work => "too much work",
            FaultKind::Unsupported => "not supported",
        }
    }
}

/// A fault and where it happened.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// What is wrong.
    pub message: String,
    /// The byte range of the source; set by the innermost expression.
    pub(super) span: Option<Span>,
}

/// The result of a step of parsing or rendering. Boxed, because faults are rare and results are passed often.
pub(super) type Result<T> = std::result::Result<T, Box<Fault>>;

impl Fault {
    pub(super) fn at(mut self: Box<Self>, span: Span) -> Box<Fault> {
        self.span.get_or_insert(span);
        self
    }

    /// The start and end of the range in the source.
    pub fn range(&self) -> Option<(usize, usize)> {
        self.span.map(|span| (span.start, span.end))
    }
}

/// A fault without a place yet.
pub(super) fn fault(kind: FaultKind, message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault { kind, message: message.into(), span: None })
}

/// `Err` of a fault without a place yet.
pub(super) fn fail<T>(kind: FaultKind, message: impl Into<String>) -> Result<T> {
    Err(fault(kind, message))
}

/// The kind and the message.
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.words(), self.message)
    }
}

impl std::error::Error for Fault {}
