//! Tokens of another form: encodings, parts, encryption, extensions, JSON that reads differently elsewhere.

use crate::case;
use crate::policy::owner;
use crate::token::{FAR, PAST, encode, parts, plain, resigned, signature};
use harness::Alg;
use serde_json::{Value, json};

const MALFORMED: Option<&str> = Some("token_malformed");

pub fn cases() -> Vec<Value> {
    [base64(), extensions(), serializations(), encrypted(), duplicates()].concat()
}

fn base64() -> Vec<Value> {
    let token = plain().sign();
    let [header, payload, signature] = parts(&token);
    let dirty = dirty(&token);
    let standard = standard(&token);
    [
        ("padded", format!("{token}==")),
        ("padded in the header", format!("{header}=.{payload}.{signature}")),
        ("a space in the signature", format!("{header}.{payload}.{} {}", &signature[..9], &signature[9..])),
        ("a space in the payload", format!("{header}.{} {}.{signature}", &payload[..9], &payload[9..])),
        ("a character that is none", format!("{header}?.{payload}.{signature}")),
        ("bits behind the end", dirty),
        ("the other alphabet", standard),
        ("percent-encoded", token.replacen('.', "%2E", 1)),
        ("four parts", format!("{token}.{signature}")),
        ("four parts, the last one empty", format!("{token}.")),
        ("two parts", format!("{header}.{payload}")),
        ("one part", header.clone()),
        ("an empty header", format!(".{payload}.{signature}")),
        ("an empty payload", format!("{header}..{signature}")),
        ("two dots", "..".into()),
        ("a length no text has", format!("{header}.{payload}.{}", &signature[..signature.len() - 1])),
        ("8193 bytes", format!("{token}{}", "A".repeat(8193 - token.len()))),
    ]
    .map(|(name, token)| case("base64", name, token, MALFORMED))
    .to_vec()
}

/// The last character with one of its unused bits set.
fn dirty(token: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let place = ALPHABET.find(last).expect("it is base64url");
    format!("{rest}{}", &ALPHABET[place + 1..place + 2])
}

/// A signature in plain base64, which is another text.
fn standard(token: &str) -> String {
    let bytes = [&[0xfb, 0xff][..], &signature(token)[2..]].concat();
    resigned(token, &bytes).replace('-', "+").replace('_', "/")
}

fn extensions() -> Vec<Value> {
    let mut cases: Vec<Value> = [
        ("an unknown name", json!(["x"])),
        ("an empty list", json!([])),
        ("no list", json!("exp")),
        ("a name that is registered", json!(["alg"])),
        ("a name the header lacks", json!(["missing"])),
        ("`b64`", json!(["b64"])),
        ("null", Value::Null),
    ]
    .into_iter()
    .map(|(name, crit)| {
        let token = plain().header("crit", crit).header("x", 1).sign();
        case("crit", &format!("crit: {name}"), token, MALFORMED)
    })
    .collect();
    for (name, value) in [("b64", false), ("b64", true)] {
        let token = plain().header(name, value).sign();
        cases.push(case("crit", &format!("`b64: {value}` without crit"), token, MALFORMED));
    }
    let header = r#"{"alg":"ES256","kid":"es256","typ":"at+jwt","b64":false,"crit":["b64"]}"#;
    cases.push(case("crit", "a payload that is not encoded", raw(header, "payload"), MALFORMED));
    cases
}

fn serializations() -> Vec<Value> {
    let token = plain().sign();
    let [protected, payload, signature] = parts(&token);
    let flat = json!({ "protected": protected, "payload": payload, "signature": signature });
    let general = json!({ "payload": payload, "signatures": [{ "protected": protected, "signature": signature }] });
    [
        ("detached", format!("{protected}..{signature}")),
        ("flattened JSON", flat.to_string()),
        ("general JSON", general.to_string()),
        ("two signatures", format!("{protected}.{payload}.{signature}.{protected}.{signature}")),
        ("SD-JWT with a disclosure", format!("{token}~{}~", encode(r#"["salt","scope","crm:admin"]"#))),
    ]
    .map(|(name, token)| case("serialization", name, token, MALFORMED))
    .to_vec()
}

fn encrypted() -> Vec<Value> {
    let [_, payload, signature] = parts(&plain().sign());
    let jwe = |header: Value| format!("{}.{signature}.{payload}.{signature}.{signature}", encode(header.to_string()));
    let three = |header: Value| format!("{}.{payload}.{signature}", encode(header.to_string()));
    let row = "encryption";
    let mut cases: Vec<Value> = [
        ("five parts", json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM" })),
        ("five parts around a token", json!({ "alg": "dir", "enc": "A128GCM", "cty": "JWT" })),
        ("two billion rounds", json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_000_000_000_u64 })),
        ("packed", json!({ "alg": "dir", "enc": "A128GCM", "zip": "DEF" })),
        ("the algorithm of a signature", json!({ "alg": "ES256", "kid": "es256", "typ": "at+jwt", "enc": "A128GCM" })),
    ]
    .map(|(name, header)| case(row, name, jwe(header), MALFORMED))
    .to_vec();
    let key = three(json!({ "alg": "RSA-OAEP", "enc": "A128GCM", "kid": "rs256" }));
    cases.push(case(row, "three parts with the algorithm of an encryption", key, Some("token_algorithm")));
    cases.push(case(row, "packed, and signed", plain().header("zip", "DEF").sign(), MALFORMED));
    cases.push(case(row, "a token within the token", plain().header("cty", "JWT").sign(), Some("token_type")));
    let polyglot = format!("{{\"a\":\"{}\"}}", plain().sign());
    cases.push(case(row, "a token and a JSON object at once", polyglot, MALFORMED));
    cases
}

/// Names that stand twice, numbers and depths that parsers differ on.
fn duplicates() -> Vec<Value> {
    let claims = claims();
    let more = |member: &str| format!("{}{member}}}", &claims[..claims.len() - 1]);
    let row = "duplicates";
    let mut cases: Vec<Value> = [
        ("scope twice", more(r#","scope":"crm:admin""#)),
        ("exp twice", more(r#","exp":9999999999"#)),
        ("an escaped name", more(r#","sc\u006fpe":"crm:admin""#)),
        ("an unknown name twice", more(r#","x":1,"x":2"#)),
        ("below the top", more(r#","act":{"sub":"a","sub":"b"}"#)),
        ("a number without end", more(r#","x":1e400"#)),
        ("65 levels", more(&format!(r#","x":{}{}"#, "[".repeat(65), "]".repeat(65)))),
        ("half a character", more(r#","x":"\ud800""#)),
        ("two objects", format!("{claims}{{}}")),
        ("a comment", format!("{claims}//")),
        ("a byte order mark", format!("\u{feff}{claims}")),
        ("a list", "[]".into()),
        ("a text", "\"token\"".into()),
        ("NaN", more(r#","x":NaN"#)),
        ("nothing", String::new()),
    ]
    .into_iter()
    .map(|(name, payload)| case(row, &format!("claims: {name}"), raw(HEADER, &payload), MALFORMED))
    .collect();
    for (name, header) in [
        ("alg twice", r#"{"alg":"none","alg":"ES256","kid":"es256","typ":"at+jwt"}"#),
        ("kid twice", r#"{"alg":"ES256","kid":"es384","kid":"es256","typ":"at+jwt"}"#),
        ("an unknown name twice", r#"{"alg":"ES256","kid":"es256","typ":"at+jwt","x":1,"x":2}"#),
        ("a list", r#"[{"alg":"ES256"}]"#),
        ("a text", r#""ES256""#),
        ("two objects", r#"{"alg":"ES256","kid":"es256","typ":"at+jwt"}{}"#),
        ("a byte order mark", "\u{feff}{\"alg\":\"ES256\",\"kid\":\"es256\",\"typ\":\"at+jwt\"}"),
    ] {
        cases.push(case(row, &format!("header: {name}"), raw(header, &claims), MALFORMED));
    }
    let bytes = [claims.as_bytes(), b"\xff"].concat();
    let [header, _, signature] = parts(&plain().sign());
    let broken = format!("{header}.{}.{signature}", encode(bytes));
    cases.push(case(row, "claims: not UTF-8", broken, MALFORMED));
    let spaced = raw(" {\t\"alg\" : \"ES256\",\r\n\"kid\":\"es256\",\"typ\":\"at+jwt\"} ", &format!(" {claims}\n"));
    cases.push(case(row, "white space is no difference", spaced, None));
    cases
}

const HEADER: &str = r#"{"alg":"ES256","kid":"es256","typ":"at+jwt"}"#;

fn claims() -> String {
    let (issuer, aud) = (crate::policy::CORP, crate::policy::RESOURCE);
    let claims = json!({
        "iss": issuer, "aud": aud, "sub": "agent-1", "client_id": "agent-1", "scope": "crm:read", "jti": "raw-1",
        "iat": PAST, "exp": FAR,
    });
    claims.to_string()
}

fn raw(header: &str, payload: &str) -> String {
    owner().sign(Alg::Es256, header, payload)
}
