//! From words to a tree.
//!
//! [CEL, syntax](https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax)

use super::lex::{Word, words};
use super::{Flaw, Place};

/// A part of a condition, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) part: Part,
    pub(super) place: Place,
    /// How many levels there are, this one included.
    depth: usize,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Name(String),
    Select(Box<Node>, String),
    /// `has(a.b)`.
    Has(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Minus(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Binary(&'static str, Box<[Node; 2]>),
    /// A function of what stands before the dot, if anything does, and of the rest.
    Call(String, Vec<Node>),
    /// `list.all(name, test)` and its like: the list, the name, and one or two expressions of it.
    Over(String, Box<Node>, String, Vec<Node>),
}

/// How deep a condition may nest.
const DEPTH: usize = 32;

/// How long one may be, in bytes.
const LENGTH: usize = 4096;

/// Operators of two sides, those that bind least first. `&&`, `||` and `?` are not among them.
const LEVELS: &[&[&str]] = &[&["<=", "<", ">=", ">", "==", "!=", "in"], &["+", "-"], &["*", "/", "%"]];

/// Functions that bind a name for each item.
const OVER: &[(&str, &[usize])] =
    &[("all", &[2]), ("exists", &[2]), ("exists_one", &[2]), ("filter", &[2]), ("map", &[2, 3])];

/// Reads a whole condition.
pub(super) fn parse(text: &str) -> Result<Node, Flaw> {
    if text.len() > LENGTH {
        return Err(Flaw::new(Place { line: 1, column: 1 }, "more than 4 KiB", "a shorter condition"));
    }
    let mut parser = Parser { words: words(text)?, next: 0, level: 0 };
    let node = parser.expression()?;
    match parser.peek() {
        (Word::End, _) => Ok(node),
        (word, place) => Err(unexpected(&word, place, "an operator or the end")),
    }
}

struct Parser {
    words: Vec<(Word, Place)>,
    next: usize,
    level: usize,
}

impl Parser {
    fn peek(&self) -> (Word, Place) {
        let last = || self.words.last().cloned().unwrap_or((Word::End, Place { line: 1, column: 1 }));
        self.words.get(self.next).cloned().unwrap_or_else(last)
    }

    fn advance(&mut self) -> (Word, Place) {
        let word = self.peek();
        self.next = self.next.saturating_add(1);
        word
    }

    /// Takes the mark if it comes next.
    fn takes(&mut self, mark: &str) -> bool {
        let comes = matches!(self.peek(), (Word::Mark(other), _) if other == mark);
        if comes {
            self.advance();
        }
        comes
    }

    fn require(&mut self, mark: &'static str) -> Result<(), Flaw> {
        let (word, place) = self.peek();
        match self.takes(mark) {
            true => Ok(()),
            false => Err(unexpected(&word, place, mark)),
        }
    }

    fn expression(&mut self) -> Result<Node, Flaw> {
        let (_, place) = self.peek();
        self.level = self.level.saturating_add(1);
        if self.level > DEPTH {
            return Err(deep(place));
        }
        let test = self.or()?;
        let node = match self.takes("?") {
            false => test,
            true => {
                let first = self.or()?;
                self.require(":")?;
                let second = self.expression()?;
                node(Part::If(Box::new([test, first, second])), place)?
            }
        };
        self.level = self.level.saturating_sub(1);
        Ok(node)
    }

    fn or(&mut self) -> Result<Node, Flaw> {
        self.several("||", Part::Or, |parser| parser.several("&&", Part::And, |parser| parser.binary(0)))
    }

    /// One part or more, with `mark` between them.
    fn several(
        &mut self,
        mark: &str,
        join: fn(Vec<Node>) -> Part,
        part: impl Fn(&mut Self) -> Result<Node, Flaw>,
    ) -> Result<Node, Flaw> {
        let (_, place) = self.peek();
        let first = part(self)?;
        let mut parts = vec![first];
        while self.takes(mark) {
            parts.push(part(self)?);
        }
        match <[Node; 1]>::try_from(parts) {
            Ok([only]) => Ok(only),
            Err(parts) => node(join(parts), place),
        }
    }

    fn binary(&mut self, level: usize) -> Result<Node, Flaw> {
        let Some(marks) = LEVELS.get(level) else { return self.unary() };
        let next = level.saturating_add(1);
        let mut left = self.binary(next)?;
        loop {
            let (word, place) = self.peek();
            let named = |mark: &&&str| match &word {
                Word::Mark(other) => *other == **mark,
                Word::Name(name) => name == "in" && **mark == "in",
                _ => false,
            };
            let Some(mark) = marks.iter().find(named) else { return Ok(left) };
            self.advance();
            let right = self.binary(next)?;
            left = node(Part::Binary(mark, Box::new([left, right])), place)?;
        }
    }

    fn unary(&mut self) -> Result<Node, Flaw> {
        let (word, place) = self.peek();
        let part: fn(Box<Node>) -> Part = match &word {
            Word::Mark("!") => Part::Not,
            Word::Mark("-") => Part::Minus,
            _ => return self.member(),
        };
        self.advance();
        // The sign belongs to the number: the least integer has no positive counterpart.
        if let (Word::Mark("-"), Word::Int(size)) = (&word, self.peek().0) {
            self.advance();
            let least = 0_i128.checked_sub(size.into()).and_then(|int| i64::try_from(int).ok());
            let int = node(Part::Int(least.ok_or_else(|| large(place))?), place)?;
            return self.selected(int);
        }
        self.level = self.level.saturating_add(1);
        if self.level > DEPTH {
            return Err(deep(place));
        }
        let inner = self.unary()?;
        self.level = self.level.saturating_sub(1);
        node(part(Box::new(inner)), place)
    }

    fn member(&mut self) -> Result<Node, Flaw> {
        let of = self.primary()?;
        self.selected(of)
    }

    /// What stands behind a value: fields, indices and methods.
    fn selected(&mut self, mut of: Node) -> Result<Node, Flaw> {
        loop {
            let (_, place) = self.peek();
            if self.takes(".") {
                let (word, at) = self.advance();
                let Word::Name(name) = word else { return Err(unexpected(&word, at, "a name")) };
                of = match self.takes("(") {
                    true => self.method(of, name, at)?,
                    false => node(Part::Select(Box::new(of), name), place)?,
                };
            } else if self.takes("[") {
                let index = self.expression()?;
                self.require("]")?;
                of = node(Part::Index(Box::new(of), Box::new(index)), place)?;
            } else {
                return Ok(of);
            }
        }
    }

    fn method(&mut self, of: Node, name: String, place: Place) -> Result<Node, Flaw> {
        let mut parts = self.parts(")")?;
        let Some((_, sizes)) = OVER.iter().find(|(over, _)| *over == name) else {
            parts.insert(0, of);
            return node(Part::Call(name, parts), place);
        };
        let accepted = "a name for the item and an expression of it";
        if !sizes.contains(&parts.len()) {
            return Err(Flaw::new(place, format!("`{name}` of {} parts", parts.len()), accepted));
        }
        let item = parts.remove(0);
        let Part::Name(item) = item.part else { return Err(Flaw::new(item.place, "no name", accepted)) };
        node(Part::Over(name, Box::new(of), item, parts), place)
    }

    fn primary(&mut self) -> Result<Node, Flaw> {
        let (word, place) = self.advance();
        let part = match word {
            Word::Int(int) => Part::Int(i64::try_from(int).map_err(|_| large(place))?),
            Word::Uint(uint) => Part::Uint(uint),
            Word::Double(double) => Part::Double(double),
            Word::Text(text) => Part::Text(text),
            Word::Mark("(") => {
                let inner = self.expression()?;
                self.require(")")?;
                return Ok(inner);
            }
            Word::Mark("[") => Part::List(self.parts("]")?),
            Word::Mark("{") => Part::Map(self.entries()?),
            Word::Name(name) => match name.as_str() {
                "true" => Part::Bool(true),
                "false" => Part::Bool(false),
                "null" => Part::Null,
                "in" => return Err(unexpected(&Word::Name(name), place, "an expression")),
                _ if self.takes("(") => return self.call(name, place),
                _ => Part::Name(name),
            },
            other => return Err(unexpected(&other, place, "an expression")),
        };
        node(part, place)
    }

    fn call(&mut self, name: String, place: Place) -> Result<Node, Flaw> {
        let parts = self.parts(")")?;
        if name != "has" {
            return node(Part::Call(name, parts), place);
        }
        let wrong = || Flaw::new(place, "`has` of something else", "a field: `has(args.name)`");
        let [only] = <[Node; 1]>::try_from(parts).map_err(|_| wrong())?;
        let Part::Select(of, field) = only.part else { return Err(wrong()) };
        node(Part::Has(of, field), place)
    }

    /// Parts with commas between them, up to `end`; a list may have one more behind the last.
    fn parts(&mut self, end: &'static str) -> Result<Vec<Node>, Flaw> {
        let mut parts = Vec::new();
        while !self.takes(end) {
            parts.push(self.expression()?);
            self.separated(end, end == "]")?;
        }
        Ok(parts)
    }

    fn entries(&mut self) -> Result<Vec<(Node, Node)>, Flaw> {
        let mut entries = Vec::new();
        while !self.takes("}") {
            let key = self.expression()?;
            self.require(":")?;
            entries.push((key, self.expression()?));
            self.separated("}", true)?;
        }
        Ok(entries)
    }

    /// A comma, or else the end, which is left for who waits for it.
    fn separated(&mut self, end: &'static str, open: bool) -> Result<(), Flaw> {
        let comes = |parser: &Self| matches!(parser.peek(), (Word::Mark(mark), _) if mark == end);
        if comes(self) {
            return Ok(());
        }
        self.require(",")?;
        match comes(self) && !open {
            true => Err(unexpected(&Word::Mark(end), self.peek().1, "an expression")),
            false => Ok(()),
        }
    }
}

impl Node {
    /// The parts that have to hold all at once.
    pub(super) fn conjuncts(&self) -> &[Self] {
        match &self.part {
            Part::And(parts) => parts,
            _ => std::slice::from_ref(self),
        }
    }

    /// The parts right below.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match &self.part {
            Part::Null | Part::Bool(_) | Part::Int(_) | Part::Uint(_) | Part::Double(_) => Vec::new(),
            Part::Text(_) | Part::Name(_) => Vec::new(),
            Part::List(parts) | Part::And(parts) | Part::Or(parts) | Part::Call(_, parts) => parts.iter().collect(),
            Part::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Part::Select(of, _) | Part::Has(of, _) | Part::Not(of) | Part::Minus(of) => vec![of],
            Part::Index(of, at) => vec![of, at],
            Part::If(parts) => parts.iter().collect(),
            Part::Binary(_, parts) => parts.iter().collect(),
            Part::Over(_, of, _, parts) => std::iter::once(&**of).chain(parts).collect(),
        }
    }
}

fn node(part: Part, place: Place) -> Result<Node, Flaw> {
    let mut node = Node { part, place, depth: 1 };
    let below = node.parts().iter().map(|part| part.depth).max().unwrap_or_default();
    node.depth = below.saturating_add(1);
    if node.depth > DEPTH { Err(deep(place)) } else { Ok(node) }
}

fn large(place: Place) -> Flaw {
    Flaw::new(place, "a number that is too large", "an integer of 64 bits, with `u` behind it for one without sign")
}

fn deep(place: Place) -> Flaw {
    Flaw::new(place, "more than 32 levels", "a flatter condition")
}

fn unexpected(word: &Word, place: Place, accepted: &str) -> Flaw {
    let found = match word {
        Word::Name(name) => format!("`{name}`"),
        Word::Text(_) => "a string".into(),
        Word::Int(_) | Word::Uint(_) | Word::Double(_) => "a number".into(),
        Word::Mark(mark) => format!("`{mark}`"),
        Word::End => "the end".into(),
    };
    let accepted = if accepted.len() <= 2 { format!("`{accepted}`") } else { accepted.to_owned() };
    Flaw::new(place, found, accepted)
}
