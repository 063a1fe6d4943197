//! Whether a condition makes sense: what it names is there, what it compares can be equal, and it is true or false.

use std::collections::BTreeMap;

use super::functions;
use super::parse::{Node, Part};
use super::types::{Schema, Type};
use super::value::KINDS;
use super::{Flaw, Variable};

/// Checks a condition and says what kind of value it gives.
pub(super) fn check(node: &Node, arguments: Option<&Schema>) -> Result<(), Flaw> {
    let kind = Checker { arguments, bound: Vec::new() }.kind(node)?;
    match kind {
        Type::Bool | Type::Any => constant(node),
        other => Err(Flaw::new(node.place, other.to_string(), "an expression that is true or false")),
    }
}

/// Refuses what always comes to the same: it is a mistake, or a rule for nobody or everybody.
fn constant(node: &Node) -> Result<(), Flaw> {
    match &node.part {
        Part::And(parts) | Part::Or(parts) => parts.iter().try_for_each(constant),
        Part::Not(of) => constant(of),
        Part::If(parts) => {
            let [test, first, second] = &**parts;
            constant(test)?;
            match (&first.part, &second.part) {
                (Part::Bool(first), Part::Bool(second)) if first != second => Ok(()),
                // One side may well be `true` or `false`, as long as the other is not.
                _ if mentions(first).is_empty() => constant(second),
                _ => Ok(()),
            }
        }
        _ if mentions(node).is_empty() => {
            Err(Flaw::new(node.place, "an expression that is always the same", "one that depends on the call"))
        }
        _ => Ok(()),
    }
}

/// The variables a part depends on.
pub(super) fn mentions(node: &Node) -> Vec<Variable> {
    let mut mentioned = Vec::new();
    collect(node, &mut Vec::new(), &mut mentioned);
    mentioned
}

fn collect<'n>(node: &'n Node, bound: &mut Vec<&'n str>, mentioned: &mut Vec<Variable>) {
    if let Part::Name(name) = &node.part
        && let Some(variable) = Variable::of(name).filter(|_| !bound.contains(&name.as_str()))
        && !mentioned.contains(&variable)
    {
        mentioned.push(variable);
    }
    if let Part::Over(_, of, item, parts) = &node.part {
        collect(of, bound, mentioned);
        bound.push(item);
        parts.iter().for_each(|part| collect(part, bound, mentioned));
        bound.pop();
        return;
    }
    node.parts().into_iter().for_each(|part| collect(part, bound, mentioned));
}

/// The names of fields that a part looks for: `a.name`, `a["name"]` and `"name" in a`.
pub(super) fn fields<'n>(node: &'n Node, found: &mut Vec<&'n str>) {
    let name = match &node.part {
        Part::Select(_, name) | Part::Has(_, name) => Some(name.as_str()),
        Part::Index(_, at) => literal(at),
        Part::Binary("in", parts) => parts.first().and_then(literal),
        _ => None,
    };
    found.extend(name);
    node.parts().into_iter().for_each(|part| fields(part, found));
}

fn literal(node: &Node) -> Option<&str> {
    if let Part::Text(text) = &node.part { Some(text) } else { None }
}

/// Whether a part looks at `field` of `variable`: by its name, as `args.body` or `args["body"]`, or in a way that does not
/// name a field at all, as `key in args`.
pub(super) fn reads(node: &Node, variable: Variable, field: &str) -> bool {
    let is = |of: &Node| matches!(&of.part, Part::Name(name) if Variable::of(name) == Some(variable));
    match &node.part {
        Part::Select(of, name) | Part::Has(of, name) if is(of) => name == field,
        Part::Index(of, at) if is(of) => match &at.part {
            Part::Text(name) => name == field,
            _ => true,
        },
        _ => is(node) || node.parts().into_iter().any(|part| reads(part, variable, field)),
    }
}

struct Checker<'s> {
    arguments: Option<&'s Schema>,
    bound: Vec<(String, Type)>,
}

impl Checker<'_> {
    fn kind(&mut self, node: &Node) -> Result<Type, Flaw> {
        Ok(match &node.part {
            Part::Null => Type::Null,
            Part::Bool(_) => Type::Bool,
            Part::Int(_) => Type::Int,
            Part::Uint(_) => Type::Uint,
            Part::Double(_) => Type::Double,
            Part::Text(_) => Type::Text,
            Part::List(parts) => Type::List(Box::new(self.common(parts.iter())?)),
            Part::Map(entries) => {
                self.common(entries.iter().map(|(key, _)| key))?;
                Type::Map(Box::new(self.common(entries.iter().map(|(_, value)| value))?))
            }
            Part::Name(name) => self.named(node, name)?,
            Part::Select(of, field) => self.field(node, of, field)?,
            Part::Has(of, field) => {
                self.field(node, of, field)?;
                Type::Bool
            }
            Part::Index(of, at) => self.index(of, at)?,
            Part::Not(of) => {
                self.demand(of, &Type::Bool)?;
                Type::Bool
            }
            Part::Minus(of) => match self.kind(of)? {
                kind @ (Type::Int | Type::Double | Type::Number | Type::Any) => kind,
                other => return Err(Flaw::new(of.place, other.to_string(), "a signed number")),
            },
            Part::And(parts) | Part::Or(parts) => {
                parts.iter().try_for_each(|part| self.demand(part, &Type::Bool))?;
                Type::Bool
            }
            Part::If(parts) => {
                let [test, first, second] = &**parts;
                self.demand(test, &Type::Bool)?;
                self.kind(first)?.join(self.kind(second)?)
            }
            Part::Binary(mark, parts) => self.binary(node, mark, parts)?,
            Part::Call(name, parts) => self.call(node, name, parts)?,
            Part::Over(name, of, item, parts) => self.over(name, of, item, parts)?,
        })
    }

    fn common<'n>(&mut self, parts: impl Iterator<Item = &'n Node>) -> Result<Type, Flaw> {
        let kinds: Vec<_> = parts.map(|part| self.kind(part)).collect::<Result<_, _>>()?;
        Ok(kinds.into_iter().reduce(Type::join).unwrap_or(Type::Any))
    }

    fn demand(&mut self, node: &Node, kind: &Type) -> Result<(), Flaw> {
        let found = self.kind(node)?;
        match found.meets(kind) {
            true => Ok(()),
            false => Err(Flaw::new(node.place, found.to_string(), kind.to_string())),
        }
    }

    fn named(&self, node: &Node, name: &str) -> Result<Type, Flaw> {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return Ok(kind.clone());
        }
        if KINDS.contains(&name) {
            return Ok(Type::Kind);
        }
        let Some(variable) = Variable::of(name) else {
            let known: Vec<_> = Variable::ALL.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(Flaw::new(node.place, format!("the name `{name}`"), format!("one of {}", known.join(", "))));
        };
        Ok(match variable {
            Variable::Args => self.arguments.map_or(Type::Map(Box::new(Type::Any)), |schema| schema.0.clone()),
            Variable::Token => Type::Map(Box::new(Type::Any)),
            Variable::Agent | Variable::Subject => Type::Text,
            Variable::Chain => Type::List(Box::new(Type::Text)),
            Variable::Request => {
                let fields: BTreeMap<_, _> =
                    super::REQUEST.iter().map(|name| ((*name).to_owned(), Type::Text)).collect();
                Type::Object(fields, false)
            }
        })
    }

    fn field(&mut self, node: &Node, of: &Node, field: &str) -> Result<Type, Flaw> {
        match self.kind(of)? {
            Type::Any => Ok(Type::Any),
            Type::Map(kind) => Ok(*kind),
            Type::Object(mut fields, open) => match (fields.remove(field), open) {
                (Some(kind), _) => Ok(kind),
                (None, true) => Ok(Type::Any),
                (None, false) => {
                    let known: Vec<_> = fields.keys().map(|name| format!("`{name}`")).collect();
                    let accepted = format!("one of {}", known.join(", "));
                    Err(Flaw::new(node.place, format!("the field `{field}`"), accepted))
                }
            },
            other => Err(Flaw::new(node.place, format!("the field `{field}` of {other}"), "a field of a map")),
        }
    }

    fn index(&mut self, of: &Node, at: &Node) -> Result<Type, Flaw> {
        let (kind, key) = (self.kind(of)?, self.kind(at)?);
        let fits = |fits: bool, accepted: &str| match fits || key == Type::Any {
            true => Ok(()),
            false => Err(Flaw::new(at.place, key.to_string(), accepted)),
        };
        match kind {
            Type::Any => Ok(Type::Any),
            Type::List(kind) => fits(key.is_number(), "an integer").map(|()| *kind),
            Type::Map(kind) => fits(true, "a key").map(|()| *kind),
            Type::Object(..) => fits(key == Type::Text, "a string").map(|()| Type::Any),
            other => Err(Flaw::new(of.place, format!("an index of {other}"), "an index of a list or a map")),
        }
    }

    fn binary(&mut self, node: &Node, mark: &str, parts: &[Node; 2]) -> Result<Type, Flaw> {
        let [left, right] = parts;
        let (first, second) = (self.kind(left)?, self.kind(right)?);
        let odd = |accepted: &str| {
            Err(Flaw::new(node.place, format!("`{mark}` of {first} and {second}"), accepted.to_owned()))
        };
        let either = |fits: fn(&Type) -> bool| {
            [&first, &second].into_iter().all(|kind| *kind == Type::Any || fits(kind)) && first.meets(&second)
        };
        match mark {
            "==" | "!=" if first.meets(&second) => Ok(Type::Bool),
            "==" | "!=" => odd("two values that can be equal"),
            "in" => match &second {
                Type::Any | Type::Map(_) => Ok(Type::Bool),
                Type::Object(..) if first.meets(&Type::Text) => Ok(Type::Bool),
                Type::List(kind) if first.meets(kind) => Ok(Type::Bool),
                Type::List(_) | Type::Object(..) => odd("an item the list can have"),
                _ => odd("a list or a map on the right"),
            },
            "<" | "<=" | ">" | ">=" => {
                let fits = either(|kind| kind.is_number() || matches!(kind, Type::Text | Type::Bool));
                if fits { Ok(Type::Bool) } else { odd("two numbers or two strings") }
            }
            "+" if either(|kind| matches!(kind, Type::Text | Type::List(_))) => Ok(first.join(second)),
            "%" if [&first, &second].contains(&&Type::Double) => odd("two integers"),
            _ if first.computes(&second) || either(Type::is_number) && [&first, &second].contains(&&Type::Any) => {
                Ok(first.join(second))
            }
            "+" => odd("two numbers of one kind, strings or lists"),
            _ => odd("two numbers of one kind"),
        }
    }

    fn call(&mut self, node: &Node, name: &str, parts: &[Node]) -> Result<Type, Flaw> {
        let kinds: Vec<_> = parts.iter().map(|part| self.kind(part)).collect::<Result<_, _>>()?;
        let Some(takes) = functions::takes(name) else {
            let known: Vec<_> = functions::names().iter().map(|name| format!("`{name}`")).collect();
            return Err(Flaw::new(
                node.place,
                format!("the function `{name}`"),
                format!("one of {}", known.join(", ")),
            ));
        };
        if takes != kinds.len() {
            let found = format!("`{name}` of {} values", kinds.len());
            return Err(Flaw::new(node.place, found, format!("`{name}` of {takes}")));
        }
        let sized = |kind: &Type| matches!(kind, Type::Any | Type::Text | Type::List(_)) || kind.is_map();
        let plain = |kind: &Type| matches!(kind, Type::Any | Type::Text | Type::Bool) || kind.is_number();
        let (fits, accepted, gives): (&dyn Fn(&Type) -> bool, _, _) = match name {
            "size" => (&sized, "a string, a list or a map", Type::Int),
            "int" => (&plain, "a number or a string", Type::Int),
            "uint" => (&plain, "a number or a string", Type::Uint),
            "double" => (&plain, "a number or a string", Type::Double),
            "string" => (&plain, "a number or a boolean", Type::Text),
            "type" => (&|_| true, "a value", Type::Kind),
            _ => (&|kind| kind.meets(&Type::Text), "a string", Type::Bool),
        };
        let odd = parts.iter().zip(&kinds).find(|(_, kind)| !fits(kind));
        odd.map_or(Ok(gives), |(part, kind)| Err(Flaw::new(part.place, kind.to_string(), accepted)))
    }

    fn over(&mut self, name: &str, of: &Node, item: &str, parts: &[Node]) -> Result<Type, Flaw> {
        let item_kind = match self.kind(of)? {
            // The keys of a map that is written down may be of any kind.
            Type::Any | Type::Map(_) => Type::Any,
            Type::List(kind) => *kind,
            Type::Object(..) => Type::Text,
            other => return Err(Flaw::new(of.place, other.to_string(), "a list or a map")),
        };
        self.bound.push((item.to_owned(), item_kind.clone()));
        let made = self.step(name, parts);
        self.bound.pop();
        Ok(match (name, made?) {
            ("map", kind) => Type::List(Box::new(kind)),
            ("filter", _) => Type::List(Box::new(item_kind)),
            _ => Type::Bool,
        })
    }

    fn step(&mut self, name: &str, parts: &[Node]) -> Result<Type, Flaw> {
        match (name, parts) {
            ("map", [made]) => self.kind(made),
            ("map", [test, made]) => {
                self.demand(test, &Type::Bool)?;
                self.kind(made)
            }
            (_, tests) => {
                tests.iter().try_for_each(|test| self.demand(test, &Type::Bool))?;
                Ok(Type::Bool)
            }
        }
    }
}
