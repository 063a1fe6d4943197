//! A stream of events, shown event by event as they come in.
//!
//! [HTML, server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)

use std::borrow::Cow;

use super::{Flaw, Keep, Shown, answer};
use crate::json;

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
    /// What ended the stream before its end.
    flaw: Option<Flaw>,
}

impl Events {
    /// A stream whose events may take `limit` bytes each.
    pub fn new(keep: Keep, limit: usize) -> Self {
        Self { keep, limit, held: Vec::new(), seen: 0, line: 0, flaw: None }
    }

    /// Takes in the next bytes, cut anywhere, and gives back the events that are whole now, without the items that are
    /// not `shown`. After a flaw nothing comes any more.
    ///
    /// What is held when the stream ends is an event that no client reads, and is dropped.
    pub fn push(&mut self, bytes: &[u8], shown: Shown<'_>) -> Result<Vec<u8>, Flaw> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        self.held.extend_from_slice(bytes);
        self.release(shown).inspect_err(|flaw| {
            self.flaw = Some(*flaw);
            self.held = Vec::new();
        })
    }

    fn release(&mut self, shown: Shown<'_>) -> Result<Vec<u8>, Flaw> {
        let mut whole = Vec::new();
        let mut start = 0;
        while let Some(end) = self.end() {
            let event = self.held.get(start..end).unwrap_or_default();
            if event.len() > self.limit {
                return Err(LARGE);
            }
            let narrowed = narrow(event, self.keep, shown)?;
            whole.extend_from_slice(narrowed.as_deref().unwrap_or(event));
            start = end;
        }
        self.held.drain(..start);
        (self.seen, self.line) = (self.seen.saturating_sub(start), self.line.saturating_sub(start));
        if self.held.len() <= self.limit { Ok(whole) } else { Err(LARGE) }
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
    /// line nothing is waited for: the event is whole, and a line feed passes as one without lines.
    fn after(&self, mark: usize, empty: bool) -> Option<usize> {
        let next = mark.checked_add(1)?;
        match (self.held.get(mark), self.held.get(next)) {
            (Some(b'\r'), Some(b'\n')) if !empty => next.checked_add(1),
            (Some(b'\r'), None) if !empty => None,
            _ => Some(next),
        }
    }
}

const LARGE: Flaw = Flaw("an event is larger than the limit");

/// The byte order mark that a stream may begin with. Before a later event it is not looked for by clients, who then skip
/// the line; read here all the same, that line can only spoil the event.
const MARK: &str = "\u{feff}";

/// One event without what is not shown; `None` where that is nothing of it.
fn narrow(event: &[u8], keep: Keep, shown: Shown<'_>) -> Result<Option<Vec<u8>>, Flaw> {
    let text = std::str::from_utf8(event).map_err(|_| Flaw("an event is no text"))?;
    let rest = text.strip_prefix(MARK).unwrap_or(text);
    let Some(data) = data(rest) else { return Ok(None) };
    let data = json::text(data.as_bytes()).map_err(|_| Flaw("an event is no JSON text"))?;
    let Cow::Owned(narrowed) = answer::narrow(data, keep, shown)? else { return Ok(None) };
    let mut written = String::with_capacity(text.len());
    written.push_str(if rest.len() < text.len() { MARK } else { "" });
    let mut narrowed = Some(narrowed);
    for (line, end) in Lines(rest) {
        match (field(line, "data"), narrowed.take()) {
            (None, untold) => {
                narrowed = untold;
                written.extend([line, end]);
            }
            (Some(_), Some(narrowed)) => narrowed.split('\n').for_each(|line| written.extend(["data: ", line, end])),
            (Some(_), None) => {}
        }
    }
    Ok(Some(written.into_bytes()))
}

/// The data of an event; `None` where there is none to read.
fn data(event: &str) -> Option<Cow<'_, str>> {
    let mut parts = Lines(event).filter_map(|(line, _)| field(line, "data"));
    let mut data = Cow::Borrowed(parts.next()?);
    for part in parts {
        let data = data.to_mut();
        data.push('\n');
        data.push_str(part);
    }
    (!data.trim().is_empty()).then_some(data)
}

/// Lines, each with its end.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.0.bytes().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let (line, rest) = self.0.split_at_checked(at)?;
        let (end, rest) = rest.split_at_checked(if rest.starts_with("\r\n") { 2 } else { 1 })?;
        self.0 = rest;
        Some((line, end))
    }
}

/// What the line says of the field `name`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(':') {
        Some(value) => Some(value.strip_prefix(' ').unwrap_or(value)),
        None => rest.is_empty().then_some(""),
    }
}
