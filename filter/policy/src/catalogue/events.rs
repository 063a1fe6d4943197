//! A stream of events, shown event by event as they come in.
//!
//! [HTML, server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)

use super::{Flaw, Keep, Shown, filter};

/// A stream in passing. Whole events are let go at once; what is held is the beginning of the next.
#[derive(Debug)]
pub struct Events {
    keep: Keep,
    limit: usize,
    held: Vec<u8>,
    /// How much of what is held was looked at.
    seen: usize,
    /// Where the line under way begins.
    line: usize,
    /// Whether the last event ended with the last byte there was, a carriage return, and if so whether it was changed: a
    /// line feed that follows is a part of it.
    torn: Option<bool>,
}

impl Events {
    /// A stream whose events may take `limit` bytes each.
    pub fn new(keep: Keep, limit: usize) -> Self {
        Self { keep, limit, held: Vec::new(), seen: 0, line: 0, torn: None }
    }

    /// Takes in the next bytes, cut anywhere, and gives back the events that are whole now, without the items that are
    /// not `shown`.
    pub fn push(&mut self, bytes: &[u8], shown: Shown<'_>) -> Result<Vec<u8>, Flaw> {
        let mut whole = Vec::new();
        let bytes = self.mend(bytes, &mut whole);
        self.held.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(end) = self.end() {
            let event = self.held.get(start..end).unwrap_or_default();
            let narrowed = narrow(event, self.keep, shown)?;
            let torn = end == self.held.len() && event.ends_with(b"\r");
            self.torn = torn.then_some(narrowed.is_some());
            whole.extend_from_slice(narrowed.as_deref().unwrap_or(event));
            start = end;
        }
        self.held.drain(..start);
        (self.seen, self.line) = (self.seen.saturating_sub(start), self.line.saturating_sub(start));
        match self.held.len() <= self.limit {
            true => Ok(whole),
            false => Err(Flaw("an event is larger than the limit")),
        }
    }

    /// The bytes without the line feed that is left of the last event.
    fn mend<'a>(&mut self, bytes: &'a [u8], whole: &mut Vec<u8>) -> &'a [u8] {
        let Some((first, rest)) = bytes.split_first() else { return bytes };
        match (self.torn.take(), first) {
            (Some(true), b'\n') => rest,
            (Some(false), b'\n') => {
                whole.push(b'\n');
                rest
            }
            _ => bytes,
        }
    }

    /// Where the first event ends: behind its empty line. No byte is looked at twice, however small the parts are.
    fn end(&mut self) -> Option<usize> {
        while let Some(mark) = self.mark() {
            let empty = mark == self.line;
            let Some(next) = self.after(mark, empty) else {
                self.seen = mark;
                return None;
            };
            (self.seen, self.line) = (next, next);
            if empty {
                return Some(next);
            }
        }
        self.seen = self.held.len();
        None
    }

    /// Where the line under way ends.
    fn mark(&self) -> Option<usize> {
        let offset = self.held.get(self.seen..)?.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        self.seen.checked_add(offset)
    }

    /// Behind the end of a line at `mark`; `None` where that is not known yet, as a line feed may follow. Behind an empty
    /// line that is of no matter: it would be the next event's, and an empty one.
    fn after(&self, mark: usize, empty: bool) -> Option<usize> {
        let next = mark.checked_add(1)?;
        match (self.held.get(mark), self.held.get(next)) {
            (Some(b'\r'), Some(b'\n')) => next.checked_add(1),
            (Some(b'\r'), None) if !empty => None,
            _ => Some(next),
        }
    }
}

/// One event without what is not shown; `None` where that is nothing of it.
fn narrow(event: &[u8], keep: Keep, shown: Shown<'_>) -> Result<Option<Vec<u8>>, Flaw> {
    let text = std::str::from_utf8(event).map_err(|_| Flaw("an event is no text"))?;
    let data: Vec<_> = lines(text).filter_map(|line| field(line, "data")).collect();
    if data.iter().all(|part| part.trim().is_empty()) {
        return Ok(None);
    }
    let data = data.join("\n");
    let narrowed = filter(data.as_bytes(), keep, shown)?;
    if narrowed == data.as_bytes() {
        return Ok(None);
    }
    let mut written = Vec::with_capacity(event.len());
    for line in lines(text).filter(|line| !line.is_empty() && field(line, "data").is_none()) {
        written.extend_from_slice(line.as_bytes());
        written.push(b'\n');
    }
    for line in String::from_utf8_lossy(&narrowed).split('\n') {
        written.extend([b"data: ", line.as_bytes(), b"\n"].concat());
    }
    written.push(b'\n');
    Ok(Some(written))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    // An empty line between `\r` and `\n` is none of the stream's, and none that anybody asks for.
    text.split(['\r', '\n'])
}

/// What the line says of the field `name`. A byte order mark may stand before the first line.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix('\u{feff}').unwrap_or(line).strip_prefix(name)?;
    match rest.strip_prefix(':') {
        Some(value) => Some(value.strip_prefix(' ').unwrap_or(value)),
        None => rest.is_empty().then_some(""),
    }
}
