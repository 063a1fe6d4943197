//! What of a list a caller is shown: the answer to a list method, without what the caller may not use.
//!
//! [MCP 2026-07-28, tools](https://modelcontextprotocol.io/specification/2026-07-28/server/tools): a list may vary by the
//! authorization presented. An item is kept byte for byte or left out; what cannot be read strictly is not shown at all,
//! since the client may read it differently.

mod answer;
mod events;

pub use events::Events;

use std::fmt;

use crate::json;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `server/discover`, which lists nothing and can be kept in caches.
    Server,
}

impl Listing {
    /// The kinds of things that are listed, by the member of a result that holds them.
    const HELD: &'static [(&'static str, Self)] = &[
        ("tools", Self::Tools),
        ("prompts", Self::Prompts),
        ("resources", Self::Resources),
        ("resourceTemplates", Self::Templates),
    ];

    /// The member that names an item.
    fn name(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts | Self::Server => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

/// Why an answer cannot be shown; holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw(pub(crate) &'static str);

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// How long a client may keep what it was shown.
///
/// [MCP 2026-07-28, caching](https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/caching): what
/// depends on the authorization is `private`. Only that revision knows the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As the server says: the revision has no such members.
    AsSaid,
    /// For itself, and no longer than this many milliseconds: after a step-up there is more to see.
    Privately(u64),
}

/// Says whether an item of this kind and name is shown.
pub type Shown<'a> = &'a mut dyn FnMut(Listing, &str) -> bool;

/// The JSON-RPC message `body` without the items that are not `shown`.
///
/// Answers that list nothing, errors, and messages that are no answers come back as they are.
pub fn filter(body: &[u8], keep: Keep, shown: Shown<'_>) -> Result<Vec<u8>, Flaw> {
    let text = json::text(body).map_err(|_| Flaw("the answer is no JSON text"))?;
    Ok(answer::narrow(text, keep, shown)?.into_owned().into_bytes())
}

#[cfg(test)]
mod tests;
