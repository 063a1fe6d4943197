//! The server where roles are made: how it is reached, and for how long.

use std::str::FromStr as _;
use std::sync::OnceLock;
use std::time::Duration;

use accredit_policy::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Postgres, Transaction};
use tokio::time::timeout;

use super::super::{Failure, Fields};

/// What is not one of the unreserved characters of [RFC 3986 §2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3).
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long one piece of work at the server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to get a connection.
const REACH: Duration = Duration::from_secs(2);

/// The time limits are the server's, too: what we no longer wait for must not go on there.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '4s'";

/// A server and the role that makes roles there; connected when first used.
#[derive(Debug)]
pub struct Link {
    options: PgConnectOptions,
    pool: OnceLock<PgPool>,
}

/// Why a URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// It is no URL of PostgreSQL.
    Malformed,
    /// Anybody on the way could be the server.
    Unproved,
}

impl Link {
    /// Reads a URL. Only a server on this machine may do without a certificate.
    pub fn parse(url: &Secret) -> Result<Self, BadUrl> {
        let scheme = ["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme));
        let options = Some(url.reveal()).filter(|_| scheme).and_then(|url| PgConnectOptions::from_str(url).ok());
        // The log would hold statements with the operator's names in them.
        let options = options.ok_or(BadUrl::Malformed)?.disable_statement_logging().application_name("accredit");
        match near(&options) || matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
            true => Ok(Self { options, pool: OnceLock::new() }),
            false => Err(BadUrl::Unproved),
        }
    }

    /// The role that makes roles.
    pub fn username(&self) -> &str {
        self.options.get_username()
    }

    /// The parts of a credential for this server.
    pub fn fields(&self, username: &str, password: &Secret) -> Fields {
        let host = match self.options.get_socket() {
            Some(socket) => socket.to_string_lossy().into_owned(),
            None => self.options.get_host().to_owned(),
        };
        let (port, database) = (self.options.get_port(), self.database());
        let mode = match self.options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        let coded = |text: &str| utf8_percent_encode(text, CODED).to_string();
        let authority = match host.contains(':') {
            true => format!("[{}]", host.trim_matches(['[', ']'])),
            false => coded(&host),
        };
        let url = Secret::new(format!(
            "postgres://{}:{}@{authority}:{port}/{}?sslmode={mode}",
            coded(username),
            coded(password.reveal()),
            coded(database)
        ));
        [
            ("username", Secret::new(username)),
            ("password", password.clone()),
            ("port", Secret::new(port.to_string())),
            ("database", Secret::new(database)),
            ("host", Secret::new(host)),
            ("url", url),
        ]
        .into()
    }

    /// The database roles are for.
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or(self.options.get_username())
    }

    /// The same server and role, in another of its databases.
    pub fn elsewhere(&self, database: &str) -> Self {
        Self { options: self.options.clone().database(database), pool: OnceLock::new() }
    }

    /// Begins a transaction that has `lock` to itself.
    pub async fn begin(&self, lock: i64) -> Result<Transaction<'static, Postgres>, Failure> {
        let mut transaction = self.pool().begin_with(BEGIN).await.map_err(failure)?;
        let query = sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock($1)").bind(lock);
        query.execute(&mut *transaction).await.map_err(failure)?;
        Ok(transaction)
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        self.pool.get_or_init(|| {
            let options = PgPoolOptions::new().max_connections(4).acquire_timeout(REACH);
            options.idle_timeout(Duration::from_secs(60)).connect_lazy_with(self.options.clone())
        })
    }
}

/// Does `work`, within bounds.
pub async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Err(Failure::Unavailable("the server takes too long".into()));
    timeout(PATIENCE, work).await.unwrap_or_else(late)
}

/// What the server says, without the details, which can hold values.
///
/// [PostgreSQL, error codes](https://www.postgresql.org/docs/current/errcodes-appendix.html): wrong data, wrong
/// grants, unknown or dependent objects, and what this role may not do, stay wrong.
pub fn failure(error: sqlx::Error) -> Failure {
    let Some(told) = error.as_database_error() else {
        return Failure::Unavailable(error.to_string());
    };
    let code = told.code().unwrap_or_default();
    let text: String =
        told.message().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect();
    let text = format!("{text} ({code})");
    match code.get(..2) {
        Some("0A" | "0L" | "0P" | "22" | "2B" | "42") => Failure::Refused(text),
        _ => Failure::Unavailable(text),
    }
}

fn near(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    options.get_socket().is_some() || host == "localhost" || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Link, BadUrl> {
        Link::parse(&Secret::new(url))
    }

    #[test]
    fn only_a_server_on_this_machine_may_do_without_a_certificate() {
        for near in ["127.0.0.1", "127.9.9.9:5433", "[::1]:5432", "localhost", "%2Frun%2Fpostgresql"] {
            assert!(parse(&format!("postgres://a:b@{near}/crm")).is_ok(), "{near}");
        }
        for mode in ["disable", "allow", "prefer", "require"] {
            let far = parse(&format!("postgres://a:b@db.internal/crm?sslmode={mode}"));
            assert_eq!(far.err(), Some(BadUrl::Unproved), "{mode}");
        }
        assert!(parse("postgres://a:b@db.internal/crm?sslmode=verify-full").is_ok());
        for host in ["127.0.0.1.example.test", "localhost.example.test"] {
            assert_eq!(parse(&format!("postgres://a:b@{host}/crm")).err(), Some(BadUrl::Unproved), "{host}");
        }
        for bad in ["", "mysql://a:b@localhost/crm", "localhost", "postgres://a:b@localhost/crm?sslmode=maybe"] {
            assert_eq!(parse(bad).err(), Some(BadUrl::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_credential_says_all_that_is_needed_to_use_it() {
        let fields = |url| parse(url).unwrap().fields("r", &Secret::new("p:w@/"));
        let url = |url| fields(url).get("url").unwrap().reveal().to_owned();
        let read = url("postgres://a:b@db.internal:6000/c%20m?sslmode=verify-full");
        assert_eq!(read, "postgres://r:p%3Aw%40%2F@db.internal:6000/c%20m?sslmode=verify-full");
        assert_eq!(
            url("postgres://a:b@[::1]:1/x?sslmode=disable"),
            "postgres://r:p%3Aw%40%2F@[::1]:1/x?sslmode=disable"
        );
        let socket = url("postgres://a:b@%2Frun%2Fpg:1/x?sslmode=disable");
        assert_eq!(socket, "postgres://r:p%3Aw%40%2F@%2Frun%2Fpg:1/x?sslmode=disable");
        let fields = fields("postgres://a:b@localhost:7/crm");
        let part = |name| fields.get(name).map(Secret::reveal);
        assert_eq!([part("host"), part("port"), part("database")], [Some("localhost"), Some("7"), Some("crm")]);
    }
}
