//! Bodies that are nearly those of the vectors, the same in every run.

/// What is put in place of something else, or between: names, texts and signs that parsers differ on.
const WORDS: &[&[u8]] = &[
    br#""method""#,
    br#""params""#,
    br#""name""#,
    br#""Name""#,
    br#""n\u0061me""#,
    br#""name\u0000""#,
    br#""uri""#,
    br#""taskId""#,
    br#""ref""#,
    br#""arguments""#,
    br#""_meta""#,
    br#""notifications""#,
    br#""__proto__""#,
    br#""tools/call""#,
    br#""tools\/call""#,
    br#""resources/read""#,
    br#""prompts/get""#,
    br#""completion/complete""#,
    br#""notifications/initialized""#,
    br#""crm_lookup""#,
    br#""crm_delete""#,
    br#""\ud83d\ude00""#,
    br#""\ud800""#,
    br#""\u2028""#,
    "\"\u{2028}\u{e9}\u{1f600}\"".as_bytes(),
    br#""""#,
    b"null",
    b"true",
    b"-0",
    b"0.1",
    b"1e3",
    b"1e400",
    b"9007199254740993",
    b"18446744073709551615",
    b"NaN",
    b"{}",
    b"[]",
    br#"{"name":"crm_delete"}"#,
    br#"[{"a":1}]"#,
    br#""x":1,"#,
    br#"{"x":[1,2,{"y":null}]}"#,
    b" ",
    b"\t\r\n",
    b"\xef\xbb\xbf",
    b"\xc2\xa0",
    b"\x00",
    b"\\u0041",
    b"\\",
    b",",
    b":",
];

/// An endless row of them.
pub struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    state: u64,
}

impl<'a> Mutations<'a> {
    pub fn new(seeds: &'a [Vec<u8>]) -> Self {
        Self { seeds, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// [xorshift64*](https://en.wikipedia.org/wiki/Xorshift#xorshift*), below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn word(&mut self) -> &'static [u8] {
        WORDS[self.below(WORDS.len())]
    }

    fn change(&mut self, body: &mut Vec<u8>) {
        let at = self.below(body.len() + 1);
        match self.below(6) {
            // One value or name for another.
            0 | 1 => {
                let parts = tokens(body);
                if !parts.is_empty() {
                    let (start, end) = parts[self.below(parts.len())];
                    let word = self.word();
                    body.splice(start..end, word.iter().copied());
                }
            }
            // A member more.
            2 => {
                if let Some(open) = (at..body.len()).find(|place| body[*place] == b'{') {
                    let (name, value) = (self.word(), self.word());
                    body.splice(open + 1..open + 1, [name, b":", value, b","].concat());
                }
            }
            // A letter as an escape.
            3 => {
                if let Some(place) = (at..body.len()).find(|place| body[*place].is_ascii_alphabetic()) {
                    let escape = format!("\\u{:04x}", body[place]);
                    body.splice(place..=place, escape.into_bytes());
                }
            }
            // White space, or something that is none.
            4 => {
                let parts = tokens(body);
                let (place, _) = parts.get(self.below(parts.len().max(1))).copied().unwrap_or_default();
                let word = self.word();
                body.splice(place..place, word.iter().copied());
            }
            _ => {
                let end = (at + self.below(4)).min(body.len());
                body.drain(at..end);
            }
        }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut body = self.seeds[self.below(self.seeds.len())].clone();
        for _ in 0..=self.below(3) {
            self.change(&mut body);
        }
        Some(body)
    }
}

/// Where strings, numbers and words stand.
fn tokens(body: &[u8]) -> Vec<(usize, usize)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        let start = at;
        at += 1;
        if *byte == b'"' {
            while body.get(at).is_some_and(|byte| *byte != b'"') {
                at += if body[at] == b'\\' { 2 } else { 1 };
            }
            at = (at + 1).min(body.len());
        } else if byte.is_ascii_alphanumeric() || *byte == b'-' {
            while body.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
                at += 1;
            }
        } else {
            continue;
        }
        tokens.push((start, at));
    }
    tokens
}
