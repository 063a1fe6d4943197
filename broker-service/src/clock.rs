//! The time of day, for a core that does not ask.

use std::time::{SystemTime, UNIX_EPOCH};

use accredit_policy::Time;
use accredit_policy::wire::audit;

/// Now.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A moment as the database counts: milliseconds since the epoch.
pub fn signed(time: Time) -> i64 {
    i64::try_from(time.millis()).unwrap_or(i64::MAX)
}

/// A moment from the database.
pub fn unsigned(millis: i64) -> Time {
    Time::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// A moment as others write it, in UTC.
///
/// [RFC 3339 §5.6](https://www.rfc-editor.org/rfc/rfc3339#section-5.6)
pub fn parse(text: &str) -> Option<Time> {
    let moment = humantime::parse_rfc3339(text).ok()?;
    let since = moment.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Time::from_millis)
}

/// Bytes nobody can guess, from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A new identifier that sorts by time.
pub fn id() -> Result<String, getrandom::Error> {
    Ok(audit::id(now().millis(), random()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_utc_are_read() {
        let read = |text: &str| parse(text).map(Time::millis);
        assert_eq!(read("2025-11-25T10:04:35Z"), Some(1_764_065_075_000));
        assert_eq!(read("2025-11-25T10:04:35.250Z"), Some(1_764_065_075_250));
        for text in ["", "2025-11-25", "2025-11-25T10:04:35", "2025-11-25T10:04:35+02:00", "2025-02-30T10:04:35Z"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("1969-12-31T23:59:59Z"), None);
    }
}
