//! The policy of a session: what the file says, and nothing at all from the end of the lease on.
//!
//! A session's policies only narrow what its role allows.
//! [AWS, Session policies](https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session)

use accredit_policy::Time;
use accredit_policy::config::error::Path;
use accredit_policy::config::field::Field;
use serde_json::{Map, Value, json};

use super::super::Failure;
use super::super::template::Template;
use crate::config::Files;

/// The longest policy, in characters.
const LONGEST: usize = 2048;

const VERSION: &str = "2012-10-17";

/// The statements of a policy, with places in their texts.
#[derive(Debug)]
pub struct Policy(Vec<Node>);

#[derive(Debug)]
enum Node {
    Plain(Value),
    Text(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Policy {
    /// Reads `policy`. Where it is missing, everything is allowed while the lease lasts if the session is to be `open`; else
    /// other policies say what is allowed, and one that allows more would undo them.
    pub fn check(field: Field<Value>, open: bool, files: &mut Files, path: &Path) -> Option<Self> {
        let document = match field {
            Field::Missing if open => json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } }),
            Field::Missing => return Some(Self(Vec::new())),
            Field::Read(document) => document,
            Field::Wrong(found) => json!(found),
        };
        let accepted = "an object with `Statement`, and `Version` \"2012-10-17\"";
        let Some((statements, at)) = statements(document, path) else {
            files.report.add(path, "another value", accepted);
            return None;
        };
        let read = statements.into_iter().zip(at).filter_map(|(statement, at)| {
            if !sound(&statement, files, &at) {
                return None;
            }
            node(statement, files, &at)
        });
        Some(Self(read.collect()))
    }

    /// The policy of a session that ends at `end`.
    pub fn render<'a>(&self, end: Time, fact: impl Fn(&str) -> Option<&'a str> + Copy) -> Result<String, Failure> {
        let end = whole(end);
        let statements = self.0.iter().map(|node| node.render(fact).map(|statement| bounded(statement, &end)));
        let mut statements = statements.collect::<Result<Vec<_>, _>>()?;
        // What a resource's own policy, or one of `policy_arns`, allows is not bounded by conditions of ours: a denial is.
        statements.push(json!({
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": { "DateGreaterThanEquals": { "aws:CurrentTime": end } },
        }));
        let text = json!({ "Version": VERSION, "Statement": statements }).to_string();
        match text.chars().count() {
            ..=LONGEST => Ok(text),
            length => {
                Err(Failure::Refused(format!("the session's policy has {length} characters, AWS takes {LONGEST}")))
            }
        }
    }
}

/// The statements of a document, and where they stand.
fn statements(document: Value, path: &Path) -> Option<(Vec<Value>, Vec<Path>)> {
    let Value::Object(mut members) = document else { return None };
    let version = members.remove("Version").is_none_or(|version| version == VERSION);
    let statement = members.remove("Statement")?;
    let at = path.at("Statement");
    let found = match statement {
        Value::Array(items) => {
            let at = (0..items.len()).map(|index| at.item(index)).collect();
            (items, at)
        }
        one => (vec![one], vec![at]),
    };
    (version && members.is_empty() && !found.0.is_empty()).then_some(found)
}

fn sound(statement: &Value, files: &mut Files, path: &Path) -> bool {
    let effect = statement.get("Effect").and_then(Value::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        files.report.add(path, "no statement", "an object with `Effect` \"Allow\" or \"Deny\"");
        return false;
    }
    let condition = statement.get("Condition");
    let object = |value: Option<&Value>| value.is_none_or(Value::is_object);
    let less = condition.and_then(|condition| condition.get("DateLessThan"));
    let ours = |key: &String| key.eq_ignore_ascii_case("aws:CurrentTime");
    let taken = less.and_then(Value::as_object).is_some_and(|less| less.keys().any(ours));
    if !object(condition) || !object(less) || taken {
        let hint = "the end of the lease stands there";
        files.report.advise(
            &path.at("Condition"),
            "another value",
            "an object without `DateLessThan.aws:CurrentTime`",
            hint,
        );
        return false;
    }
    true
}

/// The statement while the lease lasts. A denial needs no end: nothing is allowed after it.
fn bounded(mut statement: Value, end: &str) -> Value {
    if statement.get("Effect").and_then(Value::as_str) == Some("Allow")
        && let Some(statement) = statement.as_object_mut()
        && let Some(condition) = within(statement, "Condition")
        && let Some(less) = within(condition, "DateLessThan")
    {
        less.insert("aws:CurrentTime".into(), end.into());
    }
    statement
}

fn within<'a>(members: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    members.entry(name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

fn node(value: Value, files: &mut Files, path: &Path) -> Option<Node> {
    match value {
        Value::String(text) => files.template(Field::Read(text), "", path).map(Node::Text),
        Value::Array(items) => {
            let read = items.into_iter().enumerate().map(|(index, item)| node(item, files, &path.item(index)));
            read.collect::<Option<_>>().map(Node::List)
        }
        Value::Object(members) => {
            let read = members.into_iter().map(|(name, value)| {
                let value = node(value, files, &path.at(&name))?;
                Some((name, value))
            });
            read.collect::<Option<_>>().map(Node::Object)
        }
        plain => Some(Node::Plain(plain)),
    }
}

impl Node {
    fn render<'a>(&self, fact: impl Fn(&str) -> Option<&'a str> + Copy) -> Result<Value, Failure> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(template) => {
                let text = template.render(|name| fact(name).filter(|fact| literal(fact)));
                let why = || Failure::Refused("a fact with `*`, `?`, `$` or nothing cannot stand in a policy".into());
                text.map(Value::String).ok_or_else(why)
            }
            Self::List(items) => items.iter().map(|item| item.render(fact)).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| Ok((name.clone(), value.render(fact)?))).collect()
            }
        }
    }
}

/// Whether AWS takes `text` for itself: there are wildcards and variables.
///
/// [AWS, Wildcards](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html#reference_policies_elements_resource_wildcards)
fn literal(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|letter| matches!(letter, '*' | '?' | '$') || letter.is_control())
}

/// Whole seconds, as AWS's examples have them.
fn whole(time: Time) -> String {
    let text = Time::from_seconds(time.seconds()).rfc3339();
    text.replace(".000Z", "Z")
}

#[cfg(test)]
mod tests;
