//! Whose session it is, and with which key.

use std::time::Duration;

use super::*;
use crate::testing::NOW;

const ALICE: Principal<'_> = Principal { server: "crm", issuer: "https://idp", agent: "agent-7", subject: "alice" };

fn later(seconds: u64) -> Time {
    NOW.plus(Duration::from_secs(seconds))
}

fn sealer() -> Sealer {
    Sealer::new(vec![Key::new(vec![1; 32].into(), NOW, Some(later(100)))])
}

#[test]
fn a_session_opens_for_the_one_it_was_sealed_to() {
    let longest = "~".repeat(1024);
    for id in ["!", "s-1", "018f3c1e-7b1c-7000-8000-000000000000", &longest] {
        let sealed = sealer().seal(id, &ALICE, NOW).unwrap();
        assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()) && sealed.len() <= 4096, "{sealed}");
        assert!(!sealed.contains(id) || id.len() == 1);
        assert_eq!(sealer().open(&sealed, &ALICE, NOW).as_deref(), Ok(id));
    }
}

#[test]
fn every_part_of_the_principal_counts() {
    let sealed = sealer().seal("s-1", &ALICE, NOW).unwrap();
    for other in [
        Principal { server: "crm2", ..ALICE },
        Principal { issuer: "https://idq", ..ALICE },
        Principal { agent: "agent-8", ..ALICE },
        Principal { subject: "bob", ..ALICE },
        // The same bytes in a row, cut elsewhere.
        Principal { agent: "agent-7a", subject: "lice", ..ALICE },
        Principal { server: "crmhttps://idp", issuer: "", ..ALICE },
        Principal { agent: "alice", subject: "agent-7", ..ALICE },
    ] {
        assert_eq!(sealer().open(&sealed, &other, NOW), Err(Foreign), "{other:?}");
        assert_ne!(sealer().seal("s-1", &other, NOW).unwrap(), sealed, "{other:?}");
    }
}

#[test]
fn a_change_of_any_bit_is_noticed() {
    let sealed = base64url(&sealer().seal("s-1", &ALICE, NOW).unwrap()).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(sealer().open(&encode(&changed), &ALICE, NOW), Err(Foreign), "bit {bit}");
    }
}

#[test]
fn what_was_never_sealed_opens_for_no_one() {
    let sealed = sealer().seal("s-1", &ALICE, NOW).unwrap();
    for length in 0..sealed.len() {
        assert_eq!(sealer().open(sealed.get(..length).unwrap(), &ALICE, NOW), Err(Foreign), "{length}");
    }
    let raw = base64url(&sealed).unwrap();
    for bad in [
        format!("{sealed}="),
        format!("{sealed}A"),
        format!(" {sealed}"),
        encode(&[&raw[..], b"x"].concat()),
        "s-1".into(),
        "é".into(),
        // Not even decoded.
        "A".repeat(4097),
        "A".repeat(4096),
    ] {
        assert_eq!(sealer().open(&bad, &ALICE, NOW), Err(Foreign), "{bad}");
    }
}

#[test]
fn no_other_key_opens_not_even_under_its_name() {
    let sealed = sealer().seal("s-1", &ALICE, NOW).unwrap();
    let other = Key::new(vec![2; 32].into(), NOW, None);
    assert_eq!(Sealer::new(vec![other.clone()]).open(&sealed, &ALICE, NOW), Err(Foreign));
    assert_eq!(Sealer::default().open(&sealed, &ALICE, NOW), Err(Foreign));
    let mut forged = base64url(&sealed).unwrap();
    forged[..ID].copy_from_slice(&other.id);
    assert_eq!(Sealer::new(vec![other]).open(&encode(&forged), &ALICE, NOW), Err(Foreign));
}

#[test]
fn only_visible_ascii_of_some_length_is_sealed() {
    for bad in ["", " ", "a b", "a\t", "a\r\nb", "é", "\u{7f}", &"x".repeat(1025)] {
        assert_eq!(sealer().seal(bad, &ALICE, NOW), Err(Unsealable::Malformed), "{bad:?}");
    }
}

#[test]
fn the_latest_key_seals_and_earlier_ones_open_until_their_end() {
    let old = Key::new(vec![1; 32].into(), NOW, Some(later(100)));
    let new = Key::new(vec![2; 32].into(), later(50), Some(later(200)));
    let both = Sealer::new(vec![new.clone(), old.clone()]);
    let alone = |key: &Key| Sealer::new(vec![key.clone()]);

    let first = both.seal("s-1", &ALICE, later(49)).unwrap();
    assert_eq!(
        alone(&old).open(&first, &ALICE, later(49)).unwrap(),
        "s-1",
        "the next key does not seal before its time"
    );
    let second = both.seal("s-1", &ALICE, later(50)).unwrap();
    assert_eq!(alone(&new).open(&second, &ALICE, later(50)).unwrap(), "s-1");
    assert_ne!(first, second);
    assert_eq!(
        alone(&new).open(&second, &ALICE, NOW).unwrap(),
        "s-1",
        "a proxy whose clock is behind opens what others seal"
    );

    assert!(both.open(&first, &ALICE, later(99)).is_ok());
    assert_eq!(both.open(&first, &ALICE, later(100)), Err(Foreign));
    assert!(both.open(&second, &ALICE, later(199)).is_ok());
    assert_eq!(both.seal("s-1", &ALICE, later(200)), Err(Unsealable::Keyless));
    assert!(both.seals(later(199)) && !both.seals(later(200)) && !alone(&new).seals(NOW));
}

#[test]
fn a_written_key_is_renewed_with_the_old_one_behind_it() {
    let written = |text: &str| Sealer::written(text).unwrap();
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let sealed = written(old).seal("s-1", &ALICE, NOW).unwrap();
    let both = written(&format!("{new}\n{old} "));
    assert_eq!(both.open(&sealed, &ALICE, NOW).unwrap(), "s-1");
    let resealed = both.seal("s-1", &ALICE, NOW).unwrap();
    assert_eq!(written(old).open(&resealed, &ALICE, NOW), Err(Foreign));
    assert_eq!(written(new).open(&resealed, &ALICE, NOW).unwrap(), "s-1");
}

#[test]
fn a_written_key_has_at_least_32_characters() {
    let (good, short) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcde");
    for bad in ["", " \n", short, &format!("{good} {short}"), &format!("{short} {good}")] {
        assert!(Sealer::written(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn one_session_looks_the_same_while_its_key_is() {
    let seal = |id| sealer().seal(id, &ALICE, NOW).unwrap();
    assert_eq!(seal("s-1"), seal("s-1"));
    let nonce = |sealed: String| base64url(&sealed).unwrap()[ID..ID + NONCE].to_vec();
    assert_ne!(nonce(seal("s-1")), nonce(seal("s-2")));
}

#[test]
fn the_form_is_the_same_in_every_release() {
    // Made by another implementation of HMAC-SHA-256 and XChaCha20-Poly1305.
    let known = "3dJC8SbbiggDtv2SCWPDVO8IvPiWVaaVzm2Cc4re4n_eeXjwBX-ULPXIXCF10Cu_rg";
    assert_eq!(sealer().seal("s-1", &ALICE, NOW).unwrap(), known);
    assert_eq!(format!("{:?}", sealer()), "Sealer([Key(3dJC8Sbb)])");
}
