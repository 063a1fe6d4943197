//! `kind: static`: a secret of an operator's that does not change from call to call. It leaves the broker only to stand
//! on the upstream request.

use accredit_policy::config::error::Path;
use accredit_policy::config::field::Members;
use accredit_policy::object;

use super::{Call, Failure, Minted};
use crate::config::Files;
use crate::secrets::Name;

object! {
    /// The keys of `kind: static`.
    pub struct Raw {
        /// The name under which `accredit secrets put` has kept it.
        pub secret: String,
    }
}

/// A secret by its name.
#[derive(Debug)]
pub struct Fixed {
    /// Its name.
    pub secret: Name,
}

impl Fixed {
    /// The parts of the credential.
    pub const FIELDS: &'static [&'static str] = &["secret"];

    /// Where it travels unless told otherwise.
    pub const HEADERS: &'static [(&'static str, &'static str)] = &[("authorization", "Bearer {secret}")];

    /// Reads its keys.
    pub fn check(members: Members, files: &mut Files, path: &Path) -> Option<Self> {
        let Raw { secret, unknown: _ } = files.own(members, Raw::FIELDS, path);
        let at = path.at("secret");
        let text = secret.required(&at, &mut files.report)?;
        let secret = Name::parse(&text);
        if secret.is_none() {
            files.report.add(&at, format!("{text:?}"), Name::ACCEPTED);
        }
        Some(Self { secret: secret? })
    }

    /// Looks the secret up.
    pub async fn mint(&self, call: &Call<'_>) -> Result<Minted, Failure> {
        let name = &self.secret;
        let found = call.secrets.find(name).await.map_err(|error| Failure::Unavailable(error.internal))?;
        let secret = found.ok_or_else(|| {
            Failure::Unavailable(format!("there is no secret `{name}` (hint: `accredit secrets put {name}`)"))
        })?;
        Ok(Minted { fields: [("secret", secret)].into(), expires: None })
    }
}
