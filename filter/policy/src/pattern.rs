//! Names as the policy lists them: exact, or a beginning followed by `*`.

/// Which names are meant. They compare byte for byte: no folding, no trimming, no normalising.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This one.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

impl Pattern {
    /// Reads a pattern; `None` when it is empty, has a `*` anywhere but at its end, or a control character.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, open) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        let sound = !text.is_empty() && !name.contains('*') && !name.chars().any(char::is_control);
        let pattern = if open { Self::Prefix } else { Self::Exact };
        sound.then(|| pattern(name.to_owned()))
    }

    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == exact,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_ends_a_pattern_and_stands_nowhere_else() {
        for bad in ["", "a*b", "*a", "a**", "a\n"] {
            assert_eq!(Pattern::parse(bad), None, "{bad:?}");
        }
        assert!(Pattern::parse("*").unwrap().matches("anything"));
        let planners = Pattern::parse("planner-*").unwrap();
        assert!(planners.matches("planner-") && planners.matches("planner-7"));
        assert!(!planners.matches("planner") && !planners.matches("Planner-7"));
        assert!(!Pattern::parse("planner").unwrap().matches("planner-7"));
    }
}
