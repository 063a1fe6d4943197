//! Judging a condition's tree.
//!
//! [CEL, evaluation](https://github.com/google/cel-spec/blob/master/doc/langdef.md#evaluation)

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::functions;
use super::parse::{Node, Part};
use super::value::Value;

/// Why a condition has no result; holds nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub(super) &'static str);

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

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
            Part::List(parts) => Value::List(self.values(parts)?),
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
            if map.iter().any(|(other, _)| other.equals(&key)) {
                return Err(Fault("has one key twice"));
            }
            map.push((key, value));
        }
        Ok(Value::Map(map))
    }

    fn named(&self, name: &str) -> Outcome<'a> {
        let bound = self.names.iter().rev().find(|(other, _)| other == name);
        bound.map(|(_, value)| value.clone()).ok_or(Fault("names what there is not"))
    }

    fn under(&mut self, of: &'a Node, field: &'a str) -> Result<Option<Value<'a>>, Fault> {
        let key = Value::Text(Cow::Borrowed(field));
        self.value(of)?.under(&key).map_err(|()| Fault("has a field of what has none"))
    }

    fn index(&mut self, of: &'a Node, at: &'a Node) -> Outcome<'a> {
        let (of, at) = (self.value(of)?, self.value(at)?);
        if let Some(items) = of.items() {
            self.burn(items.len())?;
            let place = match at {
                Value::Int(int) => usize::try_from(int).ok(),
                Value::Uint(uint) => usize::try_from(uint).ok(),
                _ => return Err(Fault("has an index that is no integer")),
            };
            return place.and_then(|place| items.into_iter().nth(place)).ok_or(Fault("has an index beyond the end"));
        }
        of.under(&at).map_err(|()| Fault("has an index of what has none"))?.ok_or(Fault("has no such key"))
    }

    /// `&&` and `||`: one part that decides does so whatever is wrong with the others.
    fn several(&mut self, parts: &'a [Node], decisive: bool) -> Result<bool, Fault> {
        let mut fault = None;
        for part in parts {
            match self.holds(part) {
                Ok(holds) if holds == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(!decisive), Err)
    }

    fn binary(&mut self, mark: &str, parts: &'a [Node; 2]) -> Outcome<'a> {
        let [left, right] = parts;
        let (left, right) = (self.value(left)?, self.value(right)?);
        self.burn(left.weight().saturating_add(right.weight()))?;
        let ordered = |fits: fn(Ordering) -> bool| {
            let comparable = functions::comparable(&left, &right);
            // `NaN` compares, and is neither less nor greater.
            let order = left.order(&right);
            if comparable { Ok(Value::Bool(order.is_some_and(fits))) } else { Err(Fault("compares what has no order")) }
        };
        match mark {
            "==" => Ok(Value::Bool(left.equals(&right))),
            "!=" => Ok(Value::Bool(!left.equals(&right))),
            "<" => ordered(Ordering::is_lt),
            "<=" => ordered(Ordering::is_le),
            ">" => ordered(Ordering::is_gt),
            ">=" => ordered(Ordering::is_ge),
            "in" => functions::within(&left, &right),
            _ => functions::arithmetic(mark, &left, &right),
        }
    }

    fn over(&mut self, name: &str, of: &'a Node, item: &str, parts: &'a [Node]) -> Outcome<'a> {
        let of = self.value(of)?;
        let items = of.items().or_else(|| of.keys()).ok_or(Fault("goes over what has no items"))?;
        self.burn(items.len())?;
        let mut kept = Vec::new();
        let (mut count, mut fault) = (0_usize, None);
        for each in items {
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
                (Err(other), "all" | "exists") => fault = fault.or(Some(other)),
                (Err(other), _) => return Err(other),
            }
        }
        match (fault, name) {
            (Some(fault), _) => Err(fault),
            (None, "filter" | "map") => Ok(Value::List(kept)),
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
