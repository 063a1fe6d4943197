//! Texts of a definition with places for facts, as `{agent}`.

use std::fmt;

/// A text with places; all of them are known when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTemplate {
    /// A place that nothing fills.
    Unknown(String),
    /// A brace without its other half.
    Unbalanced,
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(formatter, "`{{{name}}}`"),
            Self::Unbalanced => formatter.write_str("a brace without its other half"),
        }
    }
}

impl Template {
    /// Reads a text whose places are all of `accepted`. A brace that stands for itself is written twice.
    pub fn parse(text: &str, accepted: &[&str]) -> Result<Self, BadTemplate> {
        Self::parse_by(text, |name| accepted.contains(&name))
    }

    /// Reads a text whose places are all ones that `accepts` takes.
    pub fn parse_by(text: &str, accepts: impl Fn(&str) -> bool) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            match letter {
                '{' | '}' if rest.peek() == Some(&letter) => plain.extend(rest.next()),
                '}' => return Err(BadTemplate::Unbalanced),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next().ok_or(BadTemplate::Unbalanced)? {
                            '}' => break,
                            letter => name.push(letter),
                        }
                    }
                    if !accepts(&name) {
                        return Err(BadTemplate::Unknown(name));
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Place(name));
                }
                other => plain.push(other),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts.into_iter().filter(|part| *part != Part::Text(String::new())).collect()))
    }

    /// The text with every place filled; `None` where `fill` has nothing for one.
    pub fn render<'a>(&self, fill: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        self.0.iter().try_fold(String::new(), |text, part| match part {
            Part::Text(plain) => Some(text + plain),
            Part::Place(name) => Some(text + fill(name)?),
        })
    }

    /// The text, where it has no place.
    pub fn plain(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Text(plain)] => Some(plain),
            _ => None,
        }
    }

    /// The place that is all of the text.
    pub fn lone(&self) -> Option<&str> {
        match &*self.0 {
            [Part::Place(name)] => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Option<String> {
        Template::parse(text, &["agent", "tool"]).unwrap().render(|name| (name == "agent").then_some("a-7"))
    }

    #[test]
    fn places_are_filled_and_doubled_braces_stand_for_themselves() {
        assert_eq!(filled("x-{agent}-{agent}"), Some("x-a-7-a-7".into()));
        assert_eq!(filled("{{agent}}"), Some("{agent}".into()));
        assert_eq!(filled(""), Some(String::new()));
        assert_eq!(filled("{tool}"), None);
    }

    #[test]
    fn a_text_is_plain_or_a_place_or_both() {
        let parts = |text: &str| {
            let template = Template::parse(text, &["agent"]).unwrap();
            (template.plain().map(str::to_owned), template.lone().map(str::to_owned))
        };
        assert_eq!(parts(""), (Some(String::new()), None));
        assert_eq!(parts("a{{b"), (Some("a{b".into()), None));
        assert_eq!(parts("{agent}"), (None, Some("agent".into())));
        assert_eq!(parts("a{agent}"), (None, None));
    }

    #[test]
    fn a_place_nobody_knows_is_refused() {
        let bad = |text| Template::parse(text, &["agent"]).unwrap_err();
        assert_eq!(bad("{secret}"), BadTemplate::Unknown("secret".into()));
        assert_eq!(bad("{ agent}"), BadTemplate::Unknown(" agent".into()));
        assert_eq!(bad("{}"), BadTemplate::Unknown(String::new()));
        assert_eq!(bad("{agent"), BadTemplate::Unbalanced);
        assert_eq!(bad("agent}"), BadTemplate::Unbalanced);
    }
}
