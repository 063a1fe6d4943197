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
