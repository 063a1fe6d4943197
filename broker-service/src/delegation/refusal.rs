//! Why an exchange is refused: a closed list, with one text for the caller and one for the operator.

use accredit_policy::Reason;

use crate::error::{ApiError, Code};

/// Why a task is not handed on.
///
/// [RFC 8693 §2.2.2](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.2): a token that is not acceptable "based on
/// policy" is `invalid_request`, a resource that is not `invalid_target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The actor token is not the agent's own.
    ActorToken,
    /// A token is for another party.
    Audience,
    /// An agent the task came through is suspended, retired or not registered.
    Barred,
    /// The chain has too many actors.
    Depth,
    /// The holder may not hand it on to this agent.
    HandsOn,
    /// A token of another issuer names an agent of ours.
    Impostor,
    /// The task came through an issuer the resource does not accept.
    Issuer,
    /// The agent has had the task before.
    Loop,
    /// `may_act` names another.
    MayAct,
    /// A token has ended.
    Over,
    /// No scope is left.
    Scope,
    /// The agent may not ask for the resource.
    Target,
    /// A token is bound to a key the request does not prove.
    Unbound,
}

struct Row {
    code: Code,
    reason: &'static str,
    public: &'static str,
    internal: &'static str,
}

/// Who may hand on what to whom is nothing to be found out by trying.
const NOT_TO_THIS_AGENT: &str = "the task may not be handed on to this client";

impl Refusal {
    /// The name in the record.
    pub fn reason(self) -> &'static str {
        self.row().reason
    }

    fn row(self) -> Row {
        let row = |code, reason, public, internal| Row { code, reason, public, internal };
        let (request, denied) = (Code::InvalidRequest, "delegation_denied");
        match self {
            Self::ActorToken => row(
                request,
                "actor_token",
                "the actor token is not the client's own",
                "the actor token is of another issuer or agent, or the agent acts for another with it",
            ),
            Self::Audience => row(
                request,
                Reason::TokenAudience.name(),
                "a token was issued for another party",
                "`aud` names neither us, nor the resource, nor for a subject token one of the agent's `accepts`",
            ),
            Self::Barred => row(
                request,
                Reason::ChainActor.name(),
                NOT_TO_THIS_AGENT,
                "an agent of the chain, or the subject, is suspended, retired or not registered",
            ),
            Self::Depth => row(
                request,
                Reason::ChainTooDeep.name(),
                "the delegation chain is too deep",
                "the chain would have more actors than `delegation.max_depth`",
            ),
            Self::HandsOn => row(
                request,
                denied,
                NOT_TO_THIS_AGENT,
                "the holder's `may_delegate_to` does not name the agent, or the holder is not ours and its token has no `may_act` with `iss`",
            ),
            Self::Impostor => row(
                request,
                Reason::ChainActor.name(),
                NOT_TO_THIS_AGENT,
                "a token of another issuer has an agent of ours as actor or subject",
            ),
            Self::Issuer => row(
                request,
                Reason::TokenIssuer.name(),
                NOT_TO_THIS_AGENT,
                "the task came through an issuer that the resource does not accept",
            ),
            Self::Loop => row(
                request,
                Reason::ChainLoop.name(),
                "the delegation chain has a loop",
                "an actor would stand twice in the chain, or act for itself",
            ),
            Self::MayAct => row(
                request,
                denied,
                NOT_TO_THIS_AGENT,
                "`may_act` names another, or has a member that cannot be compared",
            ),
            Self::Over => row(request, Reason::TokenExpired.name(), "a token has expired", "a token is past its `exp`"),
            Self::Scope => row(
                Code::InvalidScope,
                Code::InvalidScope.name(),
                "none of the scopes can be handed on",
                "subject token, actor token, entry and request have no scope in common",
            ),
            Self::Target => row(
                Code::InvalidTarget,
                Code::InvalidTarget.name(),
                "no resource, or none this client may use",
                "the resource is not among the agent's `resources`",
            ),
            Self::Unbound => row(
                request,
                Reason::SenderUnbound.name(),
                "a token is bound to a key that the request does not prove",
                "`cnf` names a key or a certificate that is not the sender's",
            ),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let Row { code, public, internal, .. } = refusal.row();
        Self::new(code, public).because(internal)
    }
}
