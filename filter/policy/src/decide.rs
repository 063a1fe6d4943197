//! The decision: may this token make this call?

use crate::denial::{Denial, Reason};
use crate::mcp::{Call, Target};
use crate::policy::Server;
use crate::scope::Scopes;
use crate::sender::Bound;

/// Leave to forward one request. Only [`decide`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    scopes: Scopes,
    credential: Option<String>,
}

impl Permit {
    /// The scopes the call needed.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The credential to mint for it.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }
}

/// Judges `call` on `server` for the principal of `bound`. What no rule permits is denied.
pub fn decide(server: &Server, bound: &Bound, call: &Call) -> Result<Permit, Denial> {
    let claims = bound.verified().claims();
    server.delegation.judge(&claims.chain, bound.verified().issuer())?;
    let tool = match &call.target {
        Target::Session => return Ok(Permit { scopes: Scopes::default(), credential: None }),
        Target::Unknown => return Err(Denial::new(Reason::MethodUnknown, "no rule for the method")),
        Target::Tool(tool) => tool,
    };
    let Some(rule) = server.tools.find(tool) else {
        let denial = Denial::new(Reason::ToolUnknown, "no rule for the tool");
        return Err(Denial { tool: Some(tool.clone()), ..denial });
    };
    if !claims.scopes.cover(&rule.scopes) {
        let denial = Denial::new(Reason::ScopeMissing, format!("needs `{}`", rule.scopes));
        return Err(Denial { tool: Some(tool.clone()), required: rule.scopes.clone(), ..denial });
    }
    Ok(Permit { scopes: rule.scopes.clone(), credential: rule.credential.clone() })
}
