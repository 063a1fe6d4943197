//! How a generated token is made: what is in it, who signs it, and what happens to it afterwards.

use super::{ISSUER, RESOURCE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Alg, Issuer};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::sample::{Index, select};
use proptest::strategy::{Just, Strategy};

/// A token to be.
#[derive(Clone, Debug)]
pub struct Plan {
    alg: Alg,
    header: Vec<Edit>,
    claims: Vec<Edit>,
    /// White space around every member.
    space: &'static str,
    foreign: bool,
    mutation: Mutation,
}

/// A change to a JSON object.
#[derive(Clone, Debug)]
enum Edit {
    Drop(&'static str),
    Set(&'static str, Text),
    /// A second member of that name.
    Twice(&'static str, Text),
}

/// A JSON value.
#[derive(Clone, Debug)]
enum Text {
    Raw(&'static str),
    /// So many seconds from now, with this behind it.
    Now(i64, &'static str),
}

/// What happens to a signed token.
#[derive(Clone, Debug)]
enum Mutation {
    None,
    /// One bit of one decoded part.
    Bit(usize, Index),
    /// One character.
    Character(Index, char),
    Swap(usize, usize),
    Cut(Index),
    Behind(&'static str),
}

/// Mostly few changes, since after the first flaw a token is lost.
pub fn plans() -> impl Strategy<Value = Plan> {
    let header = prop_oneof![3 => Just(Vec::new()), 2 => vec(headers(), 1..3)];
    let claims = prop_oneof![1 => Just(Vec::new()), 4 => vec(claims(), 1..3)];
    let space = select(vec!["", "", "", " ", "\n", "\t\r\n", "\u{a0}"]);
    let foreign = proptest::bool::weighted(0.05);
    (select(Alg::ALL.to_vec()), header, claims, space, foreign, mutations()).prop_map(
        |(alg, header, claims, space, foreign, mutation)| Plan { alg, header, claims, space, foreign, mutation },
    )
}

fn headers() -> impl Strategy<Value = Edit> {
    let names =
        vec!["\"ES256\"", "\"Ed25519\"", "\"none\"", "\"HS256\"", "\"PS256\"", "\"rs256\"", "\"RS384\"", "null"];
    let kids = vec!["\"ES256\"", "\"RS256\"", "\"PS512\"", "\"\"", "\"other\"", "7", "null"];
    let types = vec!["\"JWT\"", "\"at+JWT\"", "\"application/at+jwt\"", "\"dpop+jwt\"", "7", "null"];
    let others = vec![
        ("crit", "[\"exp\"]"),
        ("crit", "[]"),
        ("b64", "false"),
        ("zip", "\"DEF\""),
        ("jwk", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"),
        ("jku", "\"https://evil.example/jwks\""),
        ("x5u", "\"https://evil.example/x5u\""),
        ("x5c", "[\"AA\"]"),
        ("cty", "\"JWT\""),
        ("x", "{\"a\":[1,2.5,\"\\u00e9\"]}"),
    ];
    let twice = vec![("alg", "\"ES256\""), ("kid", "\"other\""), ("typ", "\"JWT\""), ("x", "1")];
    prop_oneof![
        1 => set("alg", names),
        1 => set("kid", kids),
        1 => set("typ", types),
        3 => select(others).prop_map(|(name, value)| Edit::Set(name, Text::Raw(value))),
        1 => select(vec!["alg", "kid", "typ"]).prop_map(Edit::Drop),
        1 => select(twice).prop_map(|(name, value)| Edit::Twice(name, Text::Raw(value))),
    ]
}

fn claims() -> impl Strategy<Value = Edit> {
    let audiences = vec![
        "[\"https://other.example.com\",\"https://gateway.example.com/crm/mcp\"]",
        "[\"https://other.example.com\"]",
        "\"https://gateway.example.com/crm/mcp/\"",
        "[]",
        "7",
        "[\"https://gateway.example.com/crm/mcp\",7]",
        "{}",
        "null",
    ];
    let issuers = vec!["\"https://idp.example.com/\"", "[\"https://idp.example.com\"]", "7", "null", "\"\""];
    let names = vec!["\"alice\"", "\"\"", "\"a\\u0000b\"", "7", "[\"alice\"]", "null"];
    let scopes = vec!["\"crm:read\"", "[\"crm:read\"]", "[7]", "7", "\"\"", "\"crm:\\\"read\"", "null"];
    let dropped = vec!["iss", "aud", "sub", "client_id", "jti", "iat", "nbf", "exp", "scope"];
    let twice = vec![("exp", "9999999999"), ("sub", "\"root\""), ("x", "2"), ("scope", "\"crm:admin\"")];
    let odd = vec![("x", "1e400"), ("x", "\"\\ud800\""), ("x", "[[[[1]]]]"), ("é", "\"ü\""), ("x", "-0")];
    prop_oneof![
        6 => (select(vec!["exp", "nbf", "iat"]), times()).prop_map(|(name, time)| Edit::Set(name, time)),
        2 => set("aud", audiences),
        2 => set("iss", issuers),
        2 => (select(vec!["sub", "client_id", "jti"]), select(names))
            .prop_map(|(name, value)| Edit::Set(name, Text::Raw(value))),
        1 => set("scope", scopes),
        2 => select(dropped).prop_map(Edit::Drop),
        1 => select(twice).prop_map(|(name, value)| Edit::Twice(name, Text::Raw(value))),
        1 => select(odd).prop_map(|(name, value)| Edit::Set(name, Text::Raw(value))),
    ]
}

/// Times around every bound, and what is no time.
fn times() -> impl Strategy<Value = Text> {
    let bounds = vec![-3601, -3600, -600, -31, -30, -29, -1, 0, 1, 29, 30, 31, 599, 3000, 3001, 3600, 1 << 40];
    let odd = vec![
        "\"1900000000\"",
        "true",
        "null",
        "[]",
        "-1",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "1.9e9",
        "0",
        "-0.0",
    ];
    prop_oneof![
        5 => select(bounds).prop_map(|seconds| Text::Now(seconds, "")),
        // Less than half a second, which both cut off.
        1 => (-40_i64..40).prop_map(|seconds| Text::Now(seconds, ".25")),
        2 => select(odd).prop_map(Text::Raw),
    ]
}

fn set(name: &'static str, values: Vec<&'static str>) -> impl Strategy<Value = Edit> {
    select(values).prop_map(move |value| Edit::Set(name, Text::Raw(value)))
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let characters: Vec<char> = "A-_=+/ .?~\n\u{e9}".chars().collect();
    let behind = vec!["=", "==", ".", ".AA", " ", "AAAA", "\u{0}"];
    prop_oneof![
        24 => Just(Mutation::None),
        2 => (0..3_usize, any::<Index>()).prop_map(|(part, bit)| Mutation::Bit(part, bit)),
        2 => (any::<Index>(), select(characters)).prop_map(|(place, with)| Mutation::Character(place, with)),
        1 => (0..3_usize, 0..3_usize).prop_map(|(one, other)| Mutation::Swap(one, other)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => select(behind).prop_map(Mutation::Behind),
    ]
}

impl Plan {
    /// The token, made at `now`.
    pub fn token(&self, issuer: &Issuer, now: u64) -> String {
        let time = |seconds: i64| (now as i64 + seconds).to_string();
        let quoted = |text: &str| format!("\"{text}\"");
        let header = [("alg", quoted(self.alg.name())), ("kid", quoted(self.alg.name())), ("typ", quoted("at+jwt"))];
        let claims = [
            ("iss", quoted(ISSUER)),
            ("aud", quoted(RESOURCE)),
            ("sub", quoted("agent-1")),
            ("client_id", quoted("agent-1")),
            ("scope", quoted("crm:read")),
            ("jti", quoted("t-1")),
            ("iat", time(-600)),
            ("nbf", time(-600)),
            ("exp", time(600)),
        ];
        let (header, claims) = (self.object(&header, &self.header, now), self.object(&claims, &self.claims, now));
        let sign = if self.foreign { Issuer::sign_foreign } else { Issuer::sign };
        self.mutation.apply(&sign(issuer, self.alg, &header, &claims))
    }

    fn object(&self, members: &[(&'static str, String)], edits: &[Edit], now: u64) -> String {
        let mut members = members.to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut members, now));
        let space = self.space;
        let texts: Vec<String> =
            members.iter().map(|(name, value)| format!("{space}\"{name}\"{space}:{space}{value}{space}")).collect();
        format!("{{{}}}", texts.join(","))
    }
}

impl Edit {
    fn apply(&self, members: &mut Vec<(&'static str, String)>, now: u64) {
        match self {
            Self::Drop(name) => members.retain(|(other, _)| other != name),
            Self::Set(name, text) => {
                members.retain(|(other, _)| other != name);
                members.push((name, text.at(now)));
            }
            Self::Twice(name, text) => {
                members.insert(0, (name, text.at(now)));
                members.push((name, text.at(now)));
            }
        }
    }
}

impl Text {
    fn at(&self, now: u64) -> String {
        match self {
            Self::Raw(text) => (*text).to_owned(),
            Self::Now(seconds, behind) => format!("{}{behind}", now as i64 + seconds),
        }
    }
}

impl Mutation {
    fn apply(&self, token: &str) -> String {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        match self {
            Self::None => {}
            Self::Bit(part, bit) => {
                let mut bytes = URL_SAFE_NO_PAD.decode(&parts[*part]).unwrap();
                let bit = bit.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                parts[*part] = URL_SAFE_NO_PAD.encode(bytes);
            }
            Self::Character(place, with) => {
                let mut characters: Vec<char> = token.chars().collect();
                let place = place.index(characters.len());
                characters[place] = *with;
                return characters.into_iter().collect();
            }
            Self::Swap(one, other) => parts.swap(*one, *other),
            Self::Cut(place) => return token[..place.index(token.len())].to_owned(),
            Self::Behind(more) => return format!("{token}{more}"),
        }
        parts.join(".")
    }
}
