//! Words of a condition and where they stand.

use super::{Flaw, Place};

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    /// Without its sign, which stands before it.
    Int(u64),
    Uint(u64),
    Double(f64),
    /// An operator or a bracket.
    Mark(&'static str),
    End,
}

/// Longer ones first: the longest that fits is meant.
const MARKS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "-", "+", "*", "/", "%", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// Takes a text apart.
///
/// [CEL, lexis](https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax), without byte strings and strings of
/// several lines.
pub(super) fn words(text: &str) -> Result<Vec<(Word, Place)>, Flaw> {
    let mut lexer = Lexer { rest: text, place: Place { line: 1, column: 1 } };
    let mut words = Vec::new();
    loop {
        let (word, place) = lexer.next()?;
        let end = word == Word::End;
        words.push((word, place));
        if end {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<(Word, Place), Flaw> {
        self.space();
        let place = self.place;
        let Some(first) = self.rest.chars().next() else { return Ok((Word::End, place)) };
        let raw = ["r\"", "r'", "R\"", "R'"].iter().any(|start| self.rest.starts_with(start));
        let word = match first {
            '"' | '\'' => self.text(false)?,
            _ if raw => self.text(true)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
                Word::Name(name.to_owned())
            }
            '0'..='9' => self.number()?,
            '.' if self.rest.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) => {
                self.number()?
            }
            _ => self.mark(first)?,
        };
        Ok((word, place))
    }

    fn space(&mut self) {
        loop {
            self.take(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if !self.rest.starts_with("//") {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    /// Takes what comes next, as long as `fits`.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        self.skip(end)
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for c in taken.chars() {
            self.place = self.place.after(c);
        }
        self.rest = rest;
        taken
    }

    fn mark(&mut self, first: char) -> Result<Word, Flaw> {
        let Some(mark) = MARKS.iter().find(|mark| self.rest.starts_with(**mark)) else {
            return Err(Flaw::new(self.place, format!("{first:?}"), "an expression in CEL"));
        };
        self.skip(mark.len());
        Ok(Word::Mark(mark))
    }

    fn number(&mut self) -> Result<Word, Flaw> {
        let place = self.place;
        let bad = |text: &str| Flaw::new(place, format!("the number `{text}`"), "an integer of 64 bits or a double");
        let hex = self.rest.starts_with("0x");
        let digits = if hex { self.hexadecimal() } else { self.decimal() };
        let radix = if hex { 16 } else { 10 };
        let bare = if hex { digits.get(2..).unwrap_or_default() } else { digits };
        let unsigned = self.rest.starts_with(['u', 'U']);
        if unsigned {
            self.skip(1);
        }
        if self.rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return Err(bad(digits));
        }
        if unsigned {
            return u64::from_str_radix(bare, radix).map(Word::Uint).map_err(|_| bad(digits));
        }
        if !hex && digits.contains(['.', 'e', 'E']) {
            let double: Option<f64> = digits.parse().ok().filter(|double: &f64| double.is_finite());
            return double.map(Word::Double).ok_or_else(|| bad(digits));
        }
        u64::from_str_radix(bare, radix).map(Word::Int).map_err(|_| bad(digits))
    }

    fn hexadecimal(&mut self) -> &'a str {
        let end = self.rest.get(2..).and_then(|rest| rest.find(|c: char| !c.is_ascii_hexdigit()));
        self.skip(end.map_or(self.rest.len(), |end| end.saturating_add(2)))
    }

    fn decimal(&mut self) -> &'a str {
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let mut end = digits(self.rest);
        let after = |end: usize| self.rest.get(end..).unwrap_or_default();
        // A dot without a digit behind it is a selection.
        if let Some(fraction) = after(end).strip_prefix('.').map(digits).filter(|digits| *digits > 0) {
            end = end.saturating_add(1).saturating_add(fraction);
        }
        if let Some(exponent) = after(end).strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let size = digits(exponent.get(sign..).unwrap_or_default());
            if size > 0 {
                end = end.saturating_add(1).saturating_add(sign).saturating_add(size);
            }
        }
        self.skip(end)
    }

    fn text(&mut self, raw: bool) -> Result<Word, Flaw> {
        let place = self.place;
        let open = || Flaw::new(place, "a string that does not end", "a string on one line");
        self.skip(usize::from(raw));
        let quote = self.skip(1).chars().next().ok_or_else(open)?;
        let mut text = String::new();
        loop {
            let start = self.place;
            match self.char().filter(|c| *c != '\n').ok_or_else(open)? {
                c if c == quote => return Ok(Word::Text(text)),
                '\\' if !raw => {
                    let escaped = self.escape();
                    let odd =
                        || Flaw::new(start, "an escape nobody knows", "`\\n`, `\\\"`, `\\\\`, `\\u00e9` and the like");
                    text.push(escaped.ok_or_else(odd)?);
                }
                c => text.push(c),
            }
        }
    }

    fn char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    fn escape(&mut self) -> Option<char> {
        let first = self.char()?;
        Some(match first {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            c @ ('\\' | '\'' | '"' | '`' | '?') => c,
            'x' | 'X' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            '0'..='3' => {
                let rest = self.code(2, 8)?;
                char::from_u32(first.to_digit(8)?.checked_mul(64)?.checked_add(rest.into())?)?
            }
            _ => return None,
        })
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let text = self.rest.get(..digits).filter(|text| text.chars().all(|digit| digit.is_digit(radix)))?;
        self.skip(digits);
        char::from_u32(u32::from_str_radix(text, radix).ok()?)
    }
}
