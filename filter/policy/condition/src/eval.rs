//! Judging a condition's tree.
//!
//! [CEL, evaluation](https://github.com/google/cel-spec/blob/master/doc/langdef.md#evaluation)

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::functions;
use super::parse::{Node, Part};
use super::value::{KINDS, Value};

/// Why a condition has no result; holds nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub(super) &'static str);

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Not a fault yet: what it comes to depends on a variable that is not known.
pub(super) const OPEN: Fault = Fault("depends on what is not known");

pub(super) type Outcome<'a> = Result<Value<'a>, Fault>;

/// What names stand for, and how much work is left to be done.
pub(super) struct Machine<'a> {
    /// Variables, and names that are bound to items; the last of a name counts.
    names: Vec<(String, Value<'a>)>,
    fuel: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(names: Vec<(String, Value<'a>)>, fuel: usize) -> Self {
        Self { names, fuel }
    }

    /// Whether the whole is true.
    pub(super) fn holds(&mut self, node: &'a Node) -> Result<bool, Fault> {
        match self.value(node)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(Fault("is not true or false")),
        }
    }

    /// Takes `work` from the fuel.
    pub(super) fn burn(&mut self, work: usize) -> Result<(), Fault> {
        let left = self.fuel.checked_sub(work.max(1));
        // Whoever goes on after this fault finds nothing left.
        self.fuel = left.unwrap_or_default();
        left.map(drop).ok_or(Fault("takes too long"))
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        self.burn(1)?;
        Ok(match &node.part {
            Part::Null => Value::Null,
            Part::Bool(bool) => Value::Bool(*bool),
            Part::Int(int) => Value::Int(*int),
            Part::Uint(uint) => Value::Uint(*uint),
            Part::Double(double) => Value::Double(*double),
            Part::Text(text) => Value::Text(Cow::Borrowed(text)),
            Part::List(parts) => Value::List(self.values(parts)?.into()),
            Part::Map(entries) => self.map(entries)?,
            Part::Name(name) => self.named(name)?,
            Part::Select(of, field) => self.under(of, field)?.ok_or(Fault("has no such field"))?,
            Part::Has(of, field) => Value::Bool(self.under(of, field)?.is_some()),
            Part::Index(of, at) => self.index(of, at)?,
            Part::Not(of) => Value::Bool(!self.holds(of)?),
            Part::Minus(of) => functions::minus(&self.value(of)?)?,
            Part::And(parts) => Value::Bool(self.several(parts, false)?),
            Part::Or(parts) => Value::Bool(self.several(parts, true)?),
            Part::If(parts) => {
                let [test, first, second] = &**parts;
                let chosen = if self.holds(test)? { first } else { second };
                self.value(chosen)?
            }
            Part::Binary(mark, parts) => self.binary(mark, parts)?,
            Part::Call(name, parts) => {
                let values = self.values(parts)?;
                self.burn(values.iter().fold(0, |sum, value| sum.saturating_add(value.weight())))?;
                functions::call(name, &values)?
            }
            Part::Over(name, of, item, parts) => self.over(name, of, item, parts)?,
        })
    }

    fn values(&mut self, parts: &'a [Node]) -> Result<Vec<Value<'a>>, Fault> {
        parts.iter().map(|part| self.value(part)).collect()
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Outcome<'a> {
        let mut map: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        for (key, value) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            self.burn(map.len())?;
            if !key.is_key() {
                return Err(Fault("has a key that can be none"));
            }
            if map.iter().any(|(other, _)| other.same(&key)) {
                return Err(Fault("has one key twice"));
            }
            map.push((key, value));
        }
        Ok(Value::Map(map.into()))
    }

    fn named(&self, name: &str) -> Outcome<'a> {
        let bound = self.names.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let kind = || KINDS.iter().find(|kind| **kind == name).map(|kind| Value::Kind(kind));
        bound.or_else(kind).ok_or(OPEN)
    }

    fn under(&mut self, of: &'a Node, field: &'a str) -> Result<Option<Value<'a>>, Fault> {
        let of = self.value(of)?;
        self.find(&of, &Value::Text(Cow::Borrowed(field)))?.ok_or(Fault("has a field of what has none"))
    }

    /// What a map holds under `key`; `None` for what is no map.
    fn find(&mut self, of: &Value<'a>, key: &Value<'_>) -> Result<Option<Option<Value<'a>>>, Fault> {
        self.burn(of.search().saturating_add(key.weight()))?;
        Ok(of.under(key).ok())
    }

    fn index(&mut self, of: &'a Node, at: &'a Node) -> Outcome<'a> {
        let (of, at) = (self.value(of)?, self.value(at)?);
        if of.length().is_some() {
            let place = match at {
                Value::Int(int) => usize::try_from(int).ok(),
                Value::Uint(uint) => usize::try_from(uint).ok(),
                _ => return Err(Fault("has an index that is no integer")),
            };
            return place.and_then(|place| of.at(place)).ok_or(Fault("has an index beyond the end"));
        }
        self.find(&of, &at)?.ok_or(Fault("has an index of what has none"))?.ok_or(Fault("has no such key"))
    }

    /// `&&` and `||`: one part that decides does so whatever is wrong with the others.
    fn several(&mut self, parts: &'a [Node], decisive: bool) -> Result<bool, Fault> {
        let mut fault = None;
        for part in parts {
            match self.holds(part) {
                Ok(holds) if holds == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(other) => fault = Some(graver(fault, other)),
            }
        }
        fault.map_or(Ok(!decisive), Err)
    }

    fn binary(&mut self, mark: &str, parts: &'a [Node; 2]) -> Outcome<'a> {
        let [left, right] = parts;
        let (left, right) = (self.value(left)?, self.value(right)?);
        match mark {
            "==" => return self.equal(&left, &right).map(Value::Bool),
            "!=" => return self.equal(&left, &right).map(|equal| Value::Bool(!equal)),
            "in" => return self.within(&left, &right).map(Value::Bool),
            _ => {}
        }
        self.burn(copy(&left).saturating_add(copy(&right)))?;
        let ordered = |fits: fn(Ordering) -> bool| {
            let comparable = functions::comparable(&left, &right);
            // `NaN` compares, and is neither less nor greater.
            let order = left.order(&right);
            if comparable { Ok(Value::Bool(order.is_some_and(fits))) } else { Err(Fault("compares what has no order")) }
        };
        match mark {
            "<" => ordered(Ordering::is_lt),
            "<=" => ordered(Ordering::is_le),
            ">" => ordered(Ordering::is_gt),
            ">=" => ordered(Ordering::is_ge),
            _ => functions::arithmetic(mark, &left, &right),
        }
    }

    /// Whether both are the same, all the way down.
    pub(super) fn equal(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, Fault> {
        self.burn(1)?;
        if left.length().is_some() && left.length() == right.length() {
            for (left, right) in left.items().zip(right.items()) {
                if !self.equal(&left, &right)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        if left.entries().is_some() && left.entries() == right.entries() {
            return self.alike(left, right);
        }
        if let (Value::Text(text), Value::Text(other)) = (left, right)
            && text.len() == other.len()
        {
            self.burn(left.weight())?;
        }
        Ok(left.same(right))
    }

    /// Whether two maps of one size hold the same under each key.
    fn alike(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, Fault> {
        self.burn(left.entries().unwrap_or_default())?;
        for key in left.keys().items() {
            let (Some(Some(left)), Some(Some(right))) = (self.find(left, &key)?, self.find(right, &key)?) else {
                return Ok(false);
            };
            if !self.equal(&left, &right)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `in`: among the items of a list, or the keys of a map.
    fn within(&mut self, item: &Value<'a>, of: &Value<'a>) -> Result<bool, Fault> {
        if of.length().is_none() {
            // A double is no key, but may equal one.
            if !item.is_key() && !matches!(item, Value::Double(_)) {
                return Err(Fault("looks for what can be no key"));
            }
            return Ok(self.find(of, item)?.ok_or(Fault("looks into what has no items"))?.is_some());
        }
        for other in of.items() {
            if self.equal(item, &other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn over(&mut self, name: &str, of: &'a Node, item: &str, parts: &'a [Node]) -> Outcome<'a> {
        let mut of = self.value(of)?;
        if let Some(entries) = of.entries() {
            self.burn(entries)?;
            of = of.keys();
        }
        if of.length().is_none() {
            return Err(Fault("goes over what has no items"));
        }
        let mut kept = Vec::new();
        let (mut count, mut fault) = (0_usize, None);
        for each in of.items() {
            // Each is a step, whatever it comes to.
            self.burn(1)?;
            self.names.push((item.to_owned(), each.clone()));
            let step = self.step(name, each, parts);
            self.names.pop();
            match (step, name) {
                (Ok(Some(value)), "filter" | "map") => kept.push(value),
                // One item that decides does so whatever is wrong with the others.
                (Ok(Some(_)), "exists") => return Ok(Value::Bool(true)),
                (Ok(None), "all") => return Ok(Value::Bool(false)),
                (Ok(Some(_)), _) => count = count.saturating_add(1),
                (Ok(None), _) => {}
                (Err(other), "all" | "exists") => fault = Some(graver(fault, other)),
                (Err(other), _) => return Err(other),
            }
        }
        match (fault, name) {
            (Some(fault), _) => Err(fault),
            (None, "filter" | "map") => Ok(Value::List(kept.into())),
            (None, "all") => Ok(Value::Bool(true)),
            (None, "exists") => Ok(Value::Bool(false)),
            (None, _) => Ok(Value::Bool(count == 1)),
        }
    }

    /// What an item comes to: itself or what is made of it, or nothing.
    fn step(&mut self, name: &str, item: Value<'a>, parts: &'a [Node]) -> Result<Option<Value<'a>>, Fault> {
        match (name, parts) {
            ("map", [made]) => self.value(made).map(Some),
            ("map", [test, made]) => match self.holds(test)? {
                true => self.value(made).map(Some),
                false => Ok(None),
            },
            (_, [test]) => Ok(self.holds(test)?.then_some(item)),
            _ => Err(Fault("is built in a way nobody knows")),
        }
    }
}

/// The fault that counts: what is open may still decide, whatever is wrong with the others.
fn graver(before: Option<Fault>, other: Fault) -> Fault {
    before.filter(|before| *before == OPEN || other != OPEN).unwrap_or(other)
}

/// About how much work it is to copy a value.
fn copy(of: &Value<'_>) -> usize {
    of.weight().saturating_add(of.length().unwrap_or_default())
}
