//! Moments and spans. The core never asks for the time; it is told.

use std::time::Duration;

/// A moment: milliseconds since the Unix epoch.
///
/// All arithmetic saturates, so no claim and no clock can overflow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment `seconds` after the Unix epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn seconds(self) -> u64 {
        self.0.saturating_div(1000)
    }

    /// This moment moved later by `span`.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// The span since `earlier`, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-23T10:15:30.000Z`.
    ///
    /// [RFC 3339 §5.6](https://www.rfc-editor.org/rfc/rfc3339#section-5.6)
    pub fn rfc3339(self) -> String {
        let seconds = self.seconds();
        let (year, month, day) = civil(seconds.saturating_div(86_400));
        let rest = seconds.checked_rem(86_400).unwrap_or_default();
        let (hour, minute) = (rest / 3600, rest % 3600 / 60);
        let (second, milli) = (rest % 60, self.0 % 1000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day ends a year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let leaps = (day / 1460).saturating_add(day / 146_096);
    let year = day.saturating_add(day / 36_524).saturating_sub(leaps).saturating_div(365);
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let of_year = day.saturating_sub(before);
    let march = of_year.saturating_mul(5).saturating_add(2) / 153;
    let month_start = march.saturating_mul(153).saturating_add(2) / 5;
    let date = of_year.saturating_sub(month_start).saturating_add(1);
    let (month, late) = match march {
        0..=9 => (march.saturating_add(3), 0),
        _ => (march.saturating_sub(9), 1),
    };
    let years = era.saturating_mul(400).saturating_add(year);
    (years.saturating_add(late), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        let text = |seconds| Time::from_seconds(seconds).rfc3339();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_709_251_199), "2024-02-29T23:59:59.000Z");
        assert_eq!(text(1_795_478_399), "2026-11-23T23:59:59.000Z");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Time::from_millis(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Time::from_seconds(1).since(end), Duration::ZERO);
        assert_eq!(Time::from_seconds(u64::MAX), end);
    }
}
