//! All records that match, page by page, in a form other systems read.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use accredit_policy::wire::audit::Record;
use clap::{Args, ValueEnum};
use serde::Deserialize as _;
use serde_json::Value;

use super::filter::{Filter, Query, set};
use super::{EVENTS, number, seen};
use crate::audit::{ocsf, otlp};
use crate::command::remote::{Remote, RemoteArgs};

/// What to write, and where to.
#[derive(Debug, Args)]
pub struct Export {
    /// The form.
    #[arg(long, value_enum)]
    format: Format,
    /// The file, which must not be there yet; standard output unless given.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// A form of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// All records with their hashes, the checkpoints and the key, for `verify --export`.
    Chain,
    /// The records as they were written, one a line.
    Ndjson,
    /// Events of OCSF 1.8, one a line.
    Ocsf,
    /// Requests of OTLP/HTTP in JSON, one a line.
    Otlp,
}

impl Export {
    /// Writes what there is now.
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        let remote = Remote::new(&self.remote)?;
        if self.format == Format::Chain {
            return self.whole(&remote).await;
        }
        // What comes while it is written is not part of it, or it might never end.
        let newest = [("order", Some("newest".to_owned())), ("limit", Some("1".to_owned()))];
        let last = remote.search(EVENTS, &newest).await?;
        let mut query = self.filter.query();
        set(&mut query, "before", number(&last).saturating_add(1));
        set(&mut query, "limit", 1000);
        let mut output = self.output()?;
        let written = self.write(&remote, query, &mut *output).await?;
        if let (Some(path), Some(count)) = (&self.file, written) {
            eprintln!("{}: {count} records", path.display());
        }
        Ok(())
    }

    /// Writes the chains as they are.
    async fn whole(&self, remote: &Remote) -> Result<(), Box<dyn Error>> {
        if self.filter.query().iter().any(|(_, value)| value.is_some()) {
            return Err("`--format chain` takes no filter: of a part of a chain nothing can be proved".into());
        }
        // Before a file is made for it.
        remote.get(&["v1", "audit", "key"]).await?;
        let mut output = self.output()?;
        remote.stream(&["v1", "audit", "export"], |piece| seen(output.write_all(piece))).await?;
        seen(output.flush())?;
        Ok(())
    }

    fn output(&self) -> Result<Box<dyn Write>, Box<dyn Error>> {
        Ok(match &self.file {
            Some(path) => {
                let file = File::options().write(true).create_new(true).mode(0o600).open(path);
                Box::new(BufWriter::new(file.map_err(|error| format!("{}: {error}", path.display()))?))
            }
            None => Box::new(BufWriter::new(io::stdout())),
        })
    }

    /// Out: how many records; `None` where the reader has seen enough.
    async fn write(
        &self,
        remote: &Remote,
        mut query: Query,
        output: &mut dyn Write,
    ) -> Result<Option<usize>, Box<dyn Error>> {
        let mut count = 0_usize;
        loop {
            let mut answer = remote.search(EVENTS, &query).await?;
            let Some(Value::Array(records)) = answer.get_mut("records").map(Value::take) else {
                return Err("the broker's answer holds no records".into());
            };
            count = count.saturating_add(records.len());
            let over = records.is_empty();
            if !seen(self.format.write(&records, output))? {
                return Ok(None);
            }
            if over {
                return Ok(seen(output.flush())?.then_some(count));
            }
            set(&mut query, "after", number(&answer));
        }
    }
}

impl Format {
    /// Writes one page.
    fn write(self, records: &[Value], output: &mut dyn Write) -> io::Result<()> {
        let lines: Vec<String> = match self {
            Self::Chain | Self::Ndjson => records.iter().map(Value::to_string).collect(),
            Self::Ocsf => read(records).iter().map(|record| ocsf::event(record).to_string()).collect(),
            Self::Otlp => {
                let records = read(records);
                (!records.is_empty()).then(|| otlp::request(&records).to_string()).into_iter().collect()
            }
        };
        lines.iter().try_for_each(|line| writeln!(output, "{line}"))
    }
}

/// Those that can be read.
fn read(records: &[Value]) -> Vec<Record> {
    let told = |value| Record::deserialize(value).inspect_err(|error| eprintln!("left out: {value}: {error}")).ok();
    records.iter().filter_map(told).collect()
}
