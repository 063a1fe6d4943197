//! Request headers as the host hands them over: names in lower case, values as bytes of unknown meaning.

/// Names and values in their order; names repeat when lines do.
///
/// All texts lie in one buffer: a request has some twenty headers, and a VM pays for every allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    texts: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a line's name and value end; the name begins where the line before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    name: usize,
    value: usize,
}

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
    /// Room for `lines` lines of `bytes` bytes in all.
    pub fn with_room(lines: usize, bytes: usize) -> Self {
        Self { texts: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    /// Takes over pairs of name and value.
    pub fn new(pairs: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut headers = Self::default();
        pairs.into_iter().for_each(|(name, value)| headers.push(name.as_bytes(), &value));
        headers
    }

    /// Adds a line.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.texts.extend_from_slice(name);
        let name = self.texts.len();
        self.texts.extend_from_slice(value);
        self.lines.push(Line { name, value: self.texts.len() });
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.lines.iter().map(move |line| {
            let name = self.texts.get(start..line.name).unwrap_or_default();
            start = line.value;
            (name, self.texts.get(line.name..line.value).unwrap_or_default())
        })
    }

    /// The value of a header that may stand once.
    ///
    /// Hosts disagree on which of several lines counts, so several are as bad as none that can be read.
    pub fn sole(&self, name: &str) -> Sole<'_> {
        let mut lines = self.iter().filter(|(other, _)| *other == name.as_bytes());
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
        self.iter().any(|(other, _)| other == name.as_bytes())
    }

    /// All names that are text, repeated as their lines are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok())
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
