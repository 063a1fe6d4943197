//! Conditions on a call, in the Common Expression Language: `args.fields.size() <= 10 && agent != subject`.
//!
//! [CEL](https://github.com/google/cel-spec/blob/master/doc/langdef.md), read, checked and judged here: the interpreter there
//! is for Rust takes a megabyte in a filter that may have one and a half, and does not check. There are no byte strings, strings of
//! several lines, structures, timestamps and regular expressions. What a condition costs is bounded.

mod check;
mod eval;
mod functions;
mod lex;
mod parse;
mod types;
mod value;

pub use eval::Fault;
pub use types::Schema;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value as Json;

use eval::Machine;
use parse::Node;
use value::Value;

/// A condition that was checked.
#[derive(Clone)]
pub struct Condition {
    text: String,
    node: Node,
    /// The variables it depends on.
    mentions: Vec<Variable>,
}

/// What a condition can ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `args`: the arguments of the call.
    Args,
    /// `token`: the claims of the agent's token.
    Token,
    /// `agent`: who acts.
    Agent,
    /// `subject`: for whom.
    Subject,
    /// `chain`: through whom, current actor first.
    Chain,
    /// `request`: how the call came in.
    Request,
}

impl Variable {
    const ALL: &'static [(&'static str, Self)] = &[
        ("args", Self::Args),
        ("token", Self::Token),
        ("agent", Self::Agent),
        ("subject", Self::Subject),
        ("chain", Self::Chain),
        ("request", Self::Request),
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, variable)| *variable)
    }
}

/// The fields of `request`.
const REQUEST: [&str; 4] = ["method", "host", "path", "source"];

/// Where in a condition, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl Place {
    fn after(self, c: char) -> Self {
        match c {
            '\n' => Self { line: self.line.saturating_add(1), column: 1 },
            _ => Self { column: self.column.saturating_add(1), ..self },
        }
    }
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub place: Place,
    /// What stands there.
    pub found: String,
    /// What could.
    pub accepted: String,
}

impl Flaw {
    fn new(place: Place, found: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { place, found: found.into(), accepted: accepted.into() }
    }
}

/// What a condition is judged on. What is `None` is not known here, and leaves open what depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The arguments, an object.
    pub args: Option<&'a Json>,
    /// The token's claims, an object.
    pub token: Option<&'a Json>,
    /// Who acts.
    pub agent: &'a str,
    /// For whom.
    pub subject: &'a str,
    /// Through whom, current actor first.
    pub chain: &'a [&'a str],
    /// Method, host, path and source address.
    pub request: Option<[&'a str; 4]>,
}

/// What a condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It depends on what is not known.
    Open,
}

/// How many steps one may take: some milliseconds.
const FUEL: usize = 50_000;

impl Condition {
    /// Reads and checks a condition on a tool whose arguments are as the schema says.
    pub fn parse(text: &str, arguments: Option<&Schema>) -> Result<Self, Flaw> {
        let node = parse::parse(text)?;
        check::check(&node, arguments)?;
        let mentions = check::mentions(&node);
        Ok(Self { text: text.to_owned(), node, mentions })
    }

    /// Whether it depends on `variable`.
    pub fn asks(&self, variable: Variable) -> bool {
        self.mentions.contains(&variable)
    }

    /// The names of the fields it looks for, of whatever it is.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        check::fields(&self.node, &mut fields);
        fields
    }

    /// Whether it may look at `field` of `variable`: it names it, as in `args.body`, or looks at `variable` as a whole.
    pub fn reads(&self, variable: Variable, field: &str) -> bool {
        check::reads(&self.node, variable, field)
    }

    /// Judges it. With something unknown it fails, or is a fault, only if it can hold for nothing that may come to be known.
    pub fn judge(&self, scene: &Scene<'_>) -> Result<Verdict, Fault> {
        let mut machine = Machine::new(scene.names(), FUEL);
        let (mut open, mut fault) = (false, None);
        // What has to hold all at once is judged part by part: with a fault in one it cannot, however open the others are.
        for part in self.node.conjuncts() {
            match machine.holds(part) {
                Ok(true) => {}
                Ok(false) => return Ok(Verdict::Fails),
                Err(eval::OPEN) => open = true,
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(if open { Verdict::Open } else { Verdict::Holds }),
        }
    }
}

impl<'a> Scene<'a> {
    /// What is known, by its name.
    fn names(&self) -> Vec<(String, Value<'a>)> {
        let text = |text: &'a str| Value::Text(Cow::Borrowed(text));
        let request = self
            .request
            .map(|facts| Value::Map(REQUEST.iter().zip(facts).map(|(name, fact)| (text(name), text(fact))).collect()));
        let chain: Value<'_> = Value::List(self.chain.iter().map(|actor| text(actor)).collect());
        let names = [
            ("args", self.args.map(Value::from)),
            ("token", self.token.map(Value::from)),
            ("request", request),
            ("agent", Some(text(self.agent))),
            ("subject", Some(text(self.subject))),
            ("chain", Some(chain)),
        ];
        names.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, formatter)
    }
}

#[cfg(test)]
mod tests;
