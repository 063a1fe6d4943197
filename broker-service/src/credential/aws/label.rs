//! Names of sessions and values of tags: any text in the letters AWS takes, and no two texts alike.
//!
//! Conditions at AWS go by them, so one agent must not be able to pass for another: what is not taken is written as `=` and
//! two hexadecimal digits, `=` too.

use accredit_policy::token::hex;
use sha2::{Digest as _, Sha256};

/// The longest name of a session.
///
/// [AWS STS, AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html): `[\w+=,.@-]{2,64}`.
const SESSION: usize = 64;

/// The longest value of a tag.
///
/// [AWS STS, Tag](https://docs.aws.amazon.com/STS/latest/APIReference/API_Tag.html)
const TAG: usize = 256;

/// The name of a session for `text`.
pub fn session(text: &str) -> String {
    let mut name = write(text, "_+,.@-", SESSION);
    while name.len() < 2 {
        // Not what a letter is written as.
        name.push('=');
    }
    name
}

/// The value of a tag for `text`.
pub fn tag(text: &str) -> String {
    write(text, " _.:/+-@", TAG)
}

/// Whether `text` can be the key of a tag as it stands.
pub fn key(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " _.:/=+-@".contains(letter);
    let reserved = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    (1..=128).contains(&text.len()) && text.chars().all(plain) && !reserved
}

fn write(text: &str, others: &str, longest: usize) -> String {
    let mut written = String::new();
    for letter in text.chars() {
        match letter.is_ascii_alphanumeric() || others.contains(letter) {
            true => written.push(letter),
            false => {
                let mut bytes = [0; 4];
                let encoded = letter.encode_utf8(&mut bytes).bytes();
                encoded.for_each(|byte| written.push_str(&format!("={byte:02X}")));
            }
        }
    }
    if written.len() > longest {
        // `==` is not what a letter is written as; the digest tells apart what begins alike.
        let digest = hex(&Sha256::digest(text.as_bytes()));
        let digest = digest.get(..16).unwrap_or(&digest);
        written.truncate(longest.saturating_sub(18));
        written.push_str("==");
        written.push_str(digest);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_takes_stays_and_the_rest_is_written_out() {
        assert_eq!(session("agent-7"), "agent-7");
        assert_eq!(session("spiffe://prod.example/a"), "spiffe=3A=2F=2Fprod.example=2Fa");
        assert_eq!(tag("spiffe://prod.example/a b"), "spiffe://prod.example/a b");
        assert_eq!(tag("auth0|ä=*"), "auth0=7C=C3=A4=3D=2A");
    }

    #[test]
    fn no_two_texts_are_written_alike() {
        let long = "a".repeat(300);
        let texts =
            ["a", "a=", "a==", "a=3D", "a|b", "a=7Cb", "a;b", &long, &"a".repeat(64), &format!("{}b", "a".repeat(299))];
        for write in [session as fn(&str) -> String, tag] {
            let written: std::collections::BTreeSet<_> = texts.iter().map(|text| write(text)).collect();
            assert_eq!(written.len(), texts.len(), "{written:?}");
        }
    }

    #[test]
    fn lengths_stay_within_what_aws_takes() {
        for text in ["x", "ä", &"x".repeat(64), &"x".repeat(65), &"/".repeat(300), &"\u{1f600}".repeat(99)] {
            assert!((2..=64).contains(&session(text).len()), "{text}");
            assert!((1..=256).contains(&tag(text).len()), "{text}");
        }
        assert_eq!(tag(""), "");
    }

    #[test]
    fn keys_of_tags_are_taken_as_they_stand() {
        assert!(["agent", "Cost Center", "a:b/c=d"].into_iter().all(key));
        assert!(!["", "aws:agent", "AWS:x", "a|b", "ä", &"x".repeat(129)].into_iter().any(key));
    }
}
