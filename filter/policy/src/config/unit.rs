//! Durations and sizes as people write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::field::Kind;

/// A span of time: `500ms`, `30s`, `5m`, `1h`, `400d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// An amount of memory: `512B`, `64KiB`, `4MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl Kind for Span {
    const ACCEPTED: &'static str = "a duration such as `500ms`, `30s`, `5m` or `1h`";
}

impl Kind for Size {
    const ACCEPTED: &'static str = "a size such as `512B`, `64KiB` or `4MiB`";
}

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let (count, unit) = split(text)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        count.checked_mul(millis).map(Duration::from_millis).map(Self)
    }
}

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (count, unit) = split(text)?;
        let bytes = match unit {
            "B" => 1,
            "KiB" => 1024,
            "MiB" => 1_048_576,
            _ => return None,
        };
        let total = count.checked_mul(bytes)?;
        usize::try_from(total).ok().map(Self)
    }
}

/// Splits `30s` into `(30, "s")`.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    Some((count.parse().ok()?, unit))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(Self::ACCEPTED))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(Self::ACCEPTED))
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Size, Span};

    impl JsonSchema for Span {
        fn schema_name() -> Cow<'static, str> {
            "Span".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["30s"] })
        }
    }

    impl JsonSchema for Size {
        fn schema_name() -> Cow<'static, str> {
            "Size".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB)$", "examples": ["1MiB"] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_carry_their_unit() {
        assert_eq!(Span::parse("5m"), Some(Span(Duration::from_secs(300))));
        assert_eq!(Size::parse("1MiB"), Some(Size(1_048_576)));
        for bad in ["30", "s", "-1s", "1.5s", "30 s", "30S", "99999999999999999999s"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
        assert_eq!(Size::parse("18446744073709551615MiB"), None);
    }
}
