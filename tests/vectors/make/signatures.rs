//! Signatures that do not hold, or should not: another algorithm, another key, numbers out of range.

use crate::case;
use crate::policy::{CORP, NARROW, PSS, TWIN, owner};
use crate::token::{decode, encode, of, parts, plain, resigned, signature, sound};
use harness::Alg;
use harness::issuer::corrupt;
use serde_json::Value;

/// The orders of P-256, P-384 and Ed25519, the last one in little endian.
const P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

const FORGED: Option<&str> = Some("token_signature");

pub fn cases() -> Vec<Value> {
    [sound_ones(), none(), confused(), schemes(), padding(), range(Alg::Es256), range(Alg::Es384), edwards(), keys()]
        .concat()
}

fn sound_ones() -> Vec<Value> {
    let mut cases: Vec<Value> =
        Alg::ALL.iter().map(|alg| case("sound", alg.name(), sound(*alg).sign(), None)).collect();
    let renamed = sound(Alg::EdDsa).header("alg", "Ed25519").sign();
    cases.push(case("sound", "Ed25519, the name of RFC 9864", renamed, None));
    let nameless = plain().without_header("kid").sign();
    cases.push(case("sound", "no kid, and one key of the algorithm", nameless, None));
    let long = plain().header("typ", "application/AT+JWT").sign();
    cases.push(case("sound", "the whole media type in capitals", long, None));
    for alg in Alg::ALL {
        let foreign = sound(alg).sign_foreign();
        cases.push(case("sound", &format!("{} of another key", alg.name()), foreign, FORGED));
        cases.push(case("sound", &format!("{} with one bit changed", alg.name()), corrupt(&sound(alg).sign()), FORGED));
    }
    cases
}

fn none() -> Vec<Value> {
    let names = ["none", "None", "NONE", "nOnE", "none ", ""];
    let mut cases: Vec<Value> = names
        .iter()
        .map(|name| {
            let signed = plain().header("alg", *name).sign();
            let bare = resigned(&signed, b"");
            case("alg-none", &format!("`{name}` without a signature"), bare, Some("token_algorithm"))
        })
        .collect();
    let kept = plain().header("alg", "none").sign();
    cases.push(case("alg-none", "`none` with the signature of another", kept, Some("token_algorithm")));
    let empty = resigned(&plain().sign(), b"");
    cases.push(case("alg-none", "`ES256` with an empty signature", empty, FORGED));
    let absent = plain().without_header("alg").sign();
    cases.push(case("alg-none", "no `alg` at all", absent, Some("token_malformed")));
    cases
}

/// The public key as the secret of an HMAC.
fn confused() -> Vec<Value> {
    let jwk = owner().jwk(Alg::Es256);
    let point = [&[4][..], &decode(jwk["x"].as_str().unwrap()), &decode(jwk["y"].as_str().unwrap())].concat();
    let pem = owner().public_pem();
    [
        ("the RSA key as PEM", Alg::Rs256, pem.clone().into_bytes()),
        ("the RSA key as PEM without the last line feed", Alg::Rs256, pem.trim_end().as_bytes().to_vec()),
        ("the RSA key as DER", Alg::Rs256, owner().public_der()),
        ("the P-256 point", Alg::Es256, point),
        ("the JWK", Alg::Es256, jwk.to_string().into_bytes()),
        ("an empty secret", Alg::Es256, vec![0; 1]),
    ]
    .map(|(name, alg, secret)| case("hmac-confusion", name, sound(alg).sign_hmac(&secret), Some("token_algorithm")))
    .to_vec()
}

/// One RSA key, and the signature of a scheme it is not for.
fn schemes() -> Vec<Value> {
    let row = "rsa-scheme";
    let rsa: Vec<Alg> = Alg::ALL.into_iter().filter(|alg| alg.name().starts_with(['P', 'R'])).collect();
    let mut cases = Vec::new();
    for named in &rsa {
        let own = named.name().to_lowercase();
        for used in rsa.iter().filter(|used| *used != named) {
            let (header, name) = (used.name(), format!("{} with the key for {}", used.name(), named.name()));
            // The signature holds for the key's numbers: only the key's `alg` says no.
            cases.push(case(row, &name, of(CORP, &own, *used).sign(), Some("token_key_unknown")));
            let name = format!("{} that says it is {}", header, named.name());
            let lies = of(CORP, &own, *used).header("alg", named.name()).sign();
            cases.push(case(row, &name, lies, FORGED));
        }
    }
    let foreign = of(NARROW, "narrow-rs256", Alg::Rs256).sign();
    cases.push(case(row, "an algorithm the issuer does not sign with", foreign, Some("token_algorithm")));
    cases.push(case(row, "a key without `alg` serves the only one", of(PSS, "pss-rsa", Alg::Ps256).sign(), None));
    let other = of(PSS, "pss-rsa", Alg::Rs256).sign();
    cases.push(case(row, "and no other", other, Some("token_algorithm")));
    cases
}

/// What can be done to an RSA signature without the private key's arithmetic.
fn padding() -> Vec<Value> {
    let modulus = decode(owner().jwk(Alg::Rs256)["n"].as_str().unwrap());
    let less = minus(&modulus, &[1]);
    let mut cases = Vec::new();
    for alg in [Alg::Rs256, Alg::Ps256] {
        let token = sound(alg).sign();
        let bytes = signature(&token);
        for (name, bytes) in [
            ("a zero in front", [&[0][..], &bytes].concat()),
            ("a zero behind", [&bytes[..], &[0]].concat()),
            ("the last byte cut off", bytes[..255].to_vec()),
            ("twice the signature", [&bytes[..], &bytes].concat()),
            ("the number 0", vec![0; 256]),
            ("the number 1", [vec![0; 255], vec![1]].concat()),
            ("the modulus", modulus.clone()),
            ("the modulus less 1", less.clone()),
            ("the modulus less the signature", minus(&modulus, &bytes)),
            ("ones throughout", vec![0xff; 256]),
        ] {
            cases.push(case("rsa-padding", &format!("{}: {name}", alg.name()), resigned(&token, &bytes), FORGED));
        }
    }
    cases
}

/// Numbers no ECDSA signature has, and forms it does not have in JOSE.
fn range(alg: Alg) -> Vec<Value> {
    let order = unhex(if alg == Alg::Es256 { P256 } else { P384 });
    let size = order.len();
    let token = sound(alg).sign();
    let bytes = signature(&token);
    let (r, s) = bytes.split_at(size);
    let (zero, one) = (vec![0; size], [vec![0; size - 1], vec![1]].concat());
    let less = minus(&order, &[1]);
    let pair = |r: &[u8], s: &[u8]| [r, s].concat();
    let mut cases: Vec<Value> = [
        ("r and s are 0", pair(&zero, &zero)),
        ("r is 0", pair(&zero, s)),
        ("s is 0", pair(r, &zero)),
        ("r and s are 1", pair(&one, &one)),
        ("r is the order", pair(&order, s)),
        ("s is the order", pair(r, &order)),
        ("r and s are the order", pair(&order, &order)),
        ("r and s are the order less 1", pair(&less, &less)),
        ("r is 0, s is 1", pair(&zero, &one)),
        ("r and s are ones throughout", vec![0xff; 2 * size]),
        ("r and s in each other's place", pair(s, r)),
        ("a byte too long", pair(&bytes, &[0])),
        ("a byte too short", bytes[..2 * size - 1].to_vec()),
        ("r alone", r.to_vec()),
        ("a zero before r and s", [&[0][..], r, &[0], s].concat()),
        ("DER", der(r, s)),
        ("DER without content", vec![0x30, 0]),
    ]
    .into_iter()
    .map(|(name, bytes)| case("ecdsa-range", &format!("{}: {name}", alg.name()), resigned(&token, &bytes), FORGED))
    .collect();
    // Both are the holder's: what was signed is the same.
    let twin = resigned(&token, &pair(r, &minus(&order, s)));
    cases.push(case("ecdsa-range", &format!("{}: s is the order less s", alg.name()), twin, None));
    cases
}

/// Ed25519: numbers that are not reduced, and points of small order.
fn edwards() -> Vec<Value> {
    let token = sound(Alg::EdDsa).sign();
    let bytes = signature(&token);
    let (r, s) = bytes.split_at(32);
    let identity = [vec![1], vec![0; 31]].concat();
    let mut order_four = [0; 32];
    order_four[31] = 0x80;
    [
        ("s is s and the order", [r, &plus_little(s, &unhex(L))].concat()),
        ("s is the order", [r, &unhex(L)].concat()),
        ("the point of order 1, and 0", [&identity[..], &[0; 32]].concat()),
        ("a point of order 4, and 0", [&order_four[..], &[0; 32]].concat()),
        ("zeros throughout", vec![0; 64]),
        ("ones throughout", vec![0xff; 64]),
        ("a byte too short", bytes[..63].to_vec()),
        ("a byte too long", [&bytes[..], &[0]].concat()),
        ("the point alone", r.to_vec()),
    ]
    .map(|(name, bytes)| case("ed25519-points", name, resigned(&token, &bytes), FORGED))
    .to_vec()
}

/// Keys a token may not name or bring along.
fn keys() -> Vec<Value> {
    let own = || owner().jwk(Alg::Es256);
    let carried = [
        ("jwk", own()),
        ("jku", "https://evil.example/jwks.json".into()),
        ("x5u", "https://evil.example/chain.pem".into()),
        ("x5c", vec![encode("certificate")].into()),
    ];
    let brought = |(name, value): (&str, Value)| {
        let token = plain().header(name, value).sign_foreign();
        case("embedded-key", &format!("`{name}` of the attacker"), token, Some("token_malformed"))
    };
    let mut cases: Vec<Value> = carried.into_iter().map(brought).collect();
    let unused = plain().header("jwk", own()).sign();
    cases.push(case("embedded-key", "`jwk`, though the issuer's own", unused, Some("token_malformed")));
    let names =
        ["../../etc/passwd", "' OR 1=1 --", "es256\u{0}", "https://evil.example/key", "ES256", " es256", "es384"];
    for name in names.into_iter().chain([&*"k".repeat(256)]) {
        let shown: String = name.chars().take(24).collect();
        let token = plain().kid(name).sign();
        cases.push(case("key-lookup", &format!("kid `{}`", shown.escape_debug()), token, Some("token_key_unknown")));
    }
    cases.push(case("key-lookup", "a kid of 257 bytes", plain().kid(&"k".repeat(257)).sign(), Some("token_malformed")));
    cases.push(case("key-lookup", "a kid that is a number", plain().header("kid", 1).sign(), Some("token_malformed")));
    cases.push(case("key-lookup", "one of two keys by name", of(TWIN, "twin-2", Alg::Es256).sign(), None));
    let which = of(TWIN, "twin-1", Alg::Es256).without_header("kid").sign();
    cases.push(case("key-lookup", "no kid, and two keys of the algorithm", which, Some("token_key_unknown")));
    let [header, payload, _] = parts(&plain().sign());
    let swapped = format!("{payload}.{header}.{}", encode("x"));
    cases.push(case("key-lookup", "header and payload in each other's place", swapped, Some("token_malformed")));
    cases
}

/// `left - right`, both in big endian.
fn minus(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let padded = [vec![0; left.len() - right.len()], right.to_vec()].concat();
    let mut digits: Vec<u8> = Vec::new();
    for (a, b) in left.iter().rev().zip(padded.iter().rev()) {
        let digit = i16::from(*a) - i16::from(*b) - borrow;
        borrow = i16::from(digit < 0);
        digits.push(digit.rem_euclid(256) as u8);
    }
    digits.reverse();
    digits
}

/// `left + right`, both in little endian.
fn plus_little(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut carry = 0_u16;
    let mut add = |(a, b): (&u8, &u8)| {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        carry = digit >> 8;
        digit as u8
    };
    left.iter().zip(right).map(&mut add).collect()
}

fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign = number[0] >= 0x80;
        [&[2, (number.len() + usize::from(sign)) as u8][..], &[0][usize::from(!sign)..], number].concat()
    };
    let content = [integer(r), integer(s)].concat();
    [vec![0x30, content.len() as u8], content].concat()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
