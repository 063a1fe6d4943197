//! Request headers as the host hands them over: names in lower case, values as bytes of unknown meaning.

/// Names and values in their order; names repeat when lines do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// What stands under a name that may stand once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sole<'a> {
    /// Nothing.
    Absent,
    /// One line of text, without white space around it.
    One(&'a str),
    /// More than one line, or bytes that are no text.
    Broken,
}

impl Headers {
    /// Takes over pairs of name and value.
    pub fn new(pairs: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The value of a header that may stand once.
    ///
    /// Hosts disagree on which of several lines counts, so several are as bad as none that can be read.
    pub fn sole(&self, name: &str) -> Sole<'_> {
        let mut lines = self.0.iter().filter(|(other, _)| other == name);
        match (lines.next(), lines.next()) {
            (None, _) => Sole::Absent,
            (Some((_, value)), None) => match std::str::from_utf8(value) {
                // [RFC 9110 §5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5): white space around is no content.
                Ok(text) => Sole::One(text.trim_matches([' ', '\t'])),
                Err(_) => Sole::Broken,
            },
            (Some(_), Some(_)) => Sole::Broken,
        }
    }

    /// The value of a header that stands once, else nothing.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.sole(name) {
            Sole::One(text) => Some(text),
            Sole::Absent | Sole::Broken => None,
        }
    }

    /// Whether the name stands at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// All names, repeated as their lines are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_or_unreadable_header_is_broken() {
        let pairs = [("a", &b"1"[..]), ("b", b" 2\t"), ("a", b"1"), ("c", b"\xff")];
        let headers = Headers::new(pairs.map(|(name, value)| (name.to_owned(), value.to_vec())));
        assert_eq!(headers.sole("a"), Sole::Broken);
        assert_eq!(headers.sole("b"), Sole::One("2"));
        assert_eq!(headers.sole("c"), Sole::Broken);
        assert_eq!(headers.sole("d"), Sole::Absent);
    }
}
