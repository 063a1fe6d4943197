//! `kind: postgres`: a role for one lease.
//!
//! ```text
//! mint: one transaction: CREATE ROLE … VALID UNTIL the lease's end, GRANT …, the operator's statements
//! end:  NOLOGIN, committed ─▶ its sessions are terminated ─▶ what it owns is dropped or given away ─▶ DROP ROLE
//! ```
//!
//! The role's name follows from the lease, so that nothing else is needed to end it, however far a mint has come.

mod check;
mod link;
mod quote;
mod removal;
#[cfg(test)]
mod tests;
mod verifier;

use accredit_policy::config::field::Field;
use accredit_policy::{Secret, object};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::link::{Link, failure, within};
use self::quote::{Name, Text, statement};
use super::template::Template;
use super::{Call, Ended, Failure, Lease, Minted};
use crate::clock;

object! {
    /// The keys of `kind: postgres`.
    pub struct Raw {
        /// A file with the URL of a role that may make roles, `postgres://admin:…@db.internal/crm?sslmode=verify-full`.
        pub url_file: String,
        /// What the names of the roles begin with; `accredit_` unless given.
        pub role_prefix: String,
        /// Existing roles that each new role becomes a member of.
        pub grants: Vec<Field<String>>,
        /// Statements to run after that, one command each, with `{name}` for the new role.
        pub statements: Vec<Field<String>>,
        /// How many sessions a role may have at a time; `1` unless given.
        pub connection_limit: u64,
        /// An existing role that gets what a role has made; it is dropped unless given.
        pub owner: String,
    }
}

/// Roles for one lease each.
#[derive(Debug)]
pub struct Postgres {
    link: Link,
    prefix: String,
    grants: Vec<Name>,
    statements: Vec<Template>,
    connections: u64,
    owner: Option<Name>,
}

/// A role of ours.
struct Role {
    name: String,
    quoted: Name,
    /// Whoever makes it or ends it has this lock: what a lost connection has yet to commit comes before the end.
    lock: i64,
}

impl Postgres {
    /// The parts of the credential.
    pub const FIELDS: &'static [&'static str] = &["username", "password", "host", "port", "database", "url"];

    /// Where it travels unless told otherwise.
    pub const HEADERS: &'static [(&'static str, &'static str)] =
        &[("x-postgres-username", "{username}"), ("x-postgres-password", "{password}")];

    /// Makes the role.
    pub async fn mint(&self, call: &Call<'_>) -> Result<Minted, Failure> {
        let role = self.role(&call.lease.id)?;
        let random = |error: getrandom::Error| Failure::Unavailable(error.to_string());
        let password = Secret::new(URL_SAFE_NO_PAD.encode(clock::random::<32>().map_err(random)?));
        let salt = clock::random().map_err(random)?;
        within(self.create(&role, call.lease, &verifier::verifier(&password, salt))).await?;
        Ok(Minted { fields: self.link.fields(&role.name, &password), expires: Some(call.lease.expires) })
    }

    /// Ends the role of `lease`, its sessions and what it owns.
    pub async fn end(&self, lease: &str) -> Result<Ended, Failure> {
        removal::end(&self.link, &self.role(lease)?, self.owner.as_ref()).await
    }

    async fn create(&self, role: &Role, lease: &Lease, verifier: &str) -> Result<(), Failure> {
        let unquotable = || Failure::Refused("a text that cannot be quoted".into());
        let (name, connections) = (&role.quoted, self.connections);
        let verifier = Text::quote(verifier).ok_or_else(unquotable)?;
        let until = Text::quote(&lease.expires.rfc3339()).ok_or_else(unquotable)?;
        let mut transaction = self.link.begin(role.lock).await?;
        let create = format!(
            "CREATE ROLE {name} WITH LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
             CONNECTION LIMIT {connections} PASSWORD {verifier} VALID UNTIL {until}"
        );
        let grants = self.grants.iter().map(|group| format!("GRANT {group} TO {name}"));
        let quoted = name.to_string();
        let others = self.statements.iter().filter_map(|template| template.render(|_| Some(quoted.as_str())));
        for text in std::iter::once(create).chain(grants).chain(others) {
            // Prepared, for the server then takes no second command in one text.
            let query = sqlx::query(statement(text)).persistent(false);
            query.execute(&mut *transaction).await.map_err(failure)?;
        }
        transaction.commit().await.map_err(failure)
    }

    /// The role of a lease, which is a UUID.
    fn role(&self, lease: &str) -> Result<Role, Failure> {
        let hex = lease.replace('-', "");
        let number = Some(&hex).filter(|hex| hex.len() == 32).and_then(|hex| u128::from_str_radix(hex, 16).ok());
        let name = format!("{}{hex}", self.prefix);
        match (number, Name::quote(&name)) {
            (Some(number), Some(quoted)) => {
                let [.., a, b, c, d, e, f, g, h] = number.to_be_bytes();
                Ok(Role { name, quoted, lock: i64::from_be_bytes([a, b, c, d, e, f, g, h]) })
            }
            _ => Err(Failure::Refused("a lease that names no role".into())),
        }
    }
}
