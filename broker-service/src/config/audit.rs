//! How long records are kept, and where they and checkpoints of them go.

mod collector;

use std::time::Duration;

use accredit_policy::config::error::Path;
use accredit_policy::config::field::{Field, refuse_unknown};

use super::{Files, raw};
use crate::audit::exporter::Collector;
use crate::checkpoint::sign::Outside;

const DAY: u64 = 24 * 3600;

/// What the file says of the audit.
#[derive(Debug, Default)]
pub struct Audit {
    /// How long records are kept; for ever unless it says.
    pub keep: Option<Duration>,
    /// Where checkpoints go beside the database.
    pub outside: Outside,
    /// Where records go beside the database.
    pub collector: Option<Collector>,
}

impl Files {
    pub(super) fn audit(&mut self, field: Field<raw::Audit>, path: &Path) -> Audit {
        let raw = field.optional(path, &mut self.report).unwrap_or_default();
        let raw::Audit { keep, checkpoints, otlp, unknown } = raw;
        refuse_unknown(&unknown, raw::Audit::FIELDS, path, &mut self.report);
        // A lease, and whoever asks about it, is over within a day.
        let bounds = Duration::from_secs(DAY)..=Duration::from_secs(36_500 * DAY);
        let keep = self.span(keep, bounds, &path.at("keep"));
        let outside = self.outside(checkpoints, &path.at("checkpoints"));
        Audit { keep, outside, collector: self.collector(otlp, &path.at("otlp")) }
    }

    fn outside(&mut self, field: Field<raw::Checkpoints>, path: &Path) -> Outside {
        let Some(raw::Checkpoints { file, url, unknown }) = field.optional(path, &mut self.report) else {
            return Outside::default();
        };
        refuse_unknown(&unknown, raw::Checkpoints::FIELDS, path, &mut self.report);
        if !file.stands() && !url.stands() {
            self.report.add(path, "neither `file` nor `url`", "one of them, or both");
        }
        let file = if file.stands() { self.place(file, &path.at("file")) } else { None };
        let url = if url.stands() { self.address(url, &path.at("url")) } else { None };
        Outside { file, url }
    }
}
