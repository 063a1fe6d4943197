//! The decision: may this token make this call?

use std::collections::BTreeMap;

use accredit_condition::{Condition, Scene, Variable, Verdict};
use serde_json::Value;

use crate::call::{Call, Flaw, Target};
use crate::catalogue::Listing;
use crate::denial::{Denial, Reason};
use crate::jsonrpc::nearly;
use crate::policy::{Mode, Recording, Rule, Server};
use crate::scope::Scopes;
use crate::secret::Secret;
use crate::sender::Bound;
use crate::token;

/// Leave to forward one request. Only [`decide`] gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    scopes: Scopes,
    credential: Option<String>,
    passes: Vec<String>,
    passed: Passed,
    recording: Recording,
}

/// Arguments of a call that the credential is narrowed by: texts and lists of texts, by name.
pub type Passed = BTreeMap<String, Vec<String>>;

impl Permit {
    /// The scopes the call needed.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The credential to mint for it.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// When the call is written down.
    pub fn recording(&self) -> Recording {
        self.recording
    }

    /// Whether the rule lets the broker see the argument `name`.
    pub fn passes(&self, name: &str) -> bool {
        self.passes.iter().any(|one| one == name)
    }

    /// The arguments the credential is narrowed by, as far as the call is there.
    pub fn passed(&self) -> &Passed {
        &self.passed
    }
}

/// What is known of a call besides what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The agent's token, whose claims conditions can ask for.
    pub token: &'a Secret,
    /// How much of the call is there.
    pub view: View<'a>,
    /// The tools that started the tasks it is about, in their order.
    pub tasks: &'a [String],
}

/// How much of a call is there to be judged. What depends on the rest is left open.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// All of it, with how it came in: method, host, path and source.
    Whole([&'a str; 4]),
    /// The same without the arguments, which are to come.
    Head([&'a str; 4]),
    /// What it is about, and no more: it came in elsewhere, and was judged there.
    Told,
}

impl<'a> View<'a> {
    fn request(self) -> Option<[&'a str; 4]> {
        match self {
            Self::Whole(request) | Self::Head(request) => Some(request),
            Self::Told => None,
        }
    }
}

/// Judges `call` on `server` for the principal of `bound`. What no rule permits is denied.
pub fn decide(server: &Server, bound: &Bound, call: &Call<'_>, facts: &Facts<'_>) -> Result<Permit, Denial> {
    let claims = bound.verified().claims();
    server.delegation.judge(&claims.chain, bound.verified().issuer())?;
    let judge = Judge { bound, facts };
    let sole =
        |rule: Option<&Rule>, name: &str| rule.ok_or_else(|| unknown(name)).and_then(|rule| judge.grant(rule, call));
    match &call.target {
        // What it takes to connect is open to any token, unless the policy has a rule for it all the same.
        Target::Session | Target::List(_) => match server.methods.find(&call.method) {
            None => Ok(Permit::default()),
            Some(rule) => judge.grant(rule, call),
        },
        Target::Tool(name) => sole(server.tools.find(name), name),
        Target::Prompt(name) => sole(server.prompts.find(name), name),
        Target::Resource(uri) => sole(server.resources.find_uri(uri), uri),
        // A task is its starter's, and takes what the tool takes that it was started with.
        Target::Task(_) => match facts.tasks {
            [tool] => sole(server.tools.find(tool), tool),
            _ => Err(Denial::new(Reason::TaskUnknown, "who started the task is not known")),
        },
        Target::Subscription(uris, tasks) if tasks.len() == facts.tasks.len() => judge.all(server, call, uris),
        Target::Subscription(..) => Err(Denial::new(Reason::TaskUnknown, "who started the tasks is not known")),
        Target::Card => Ok(Permit::default()),
        Target::Unlisted => Err(Denial::new(Reason::ToolUnknown, "no template describes the request")),
        Target::Method => {
            let unknown = || Denial::new(Reason::MethodUnknown, "no rule for the method");
            server.methods.find(&call.method).ok_or_else(unknown).and_then(|rule| judge.grant(rule, call))
        }
    }
}

/// Whether a list shows the principal of `bound` the item `name`: what it could use, with some arguments.
pub fn shows(server: &Server, bound: &Bound, listing: Listing, name: &str, facts: &Facts<'_>) -> bool {
    let judge = Judge { bound, facts };
    let usable = |rule: &Rule| judge.could(rule);
    match listing {
        Listing::Tools => server.tools.find(name).is_some_and(usable),
        Listing::Prompts => server.prompts.find(name).is_some_and(usable),
        Listing::Resources => server.resources.find_uri(name).is_some_and(usable),
        Listing::Templates => server.resources.possible(name).any(usable),
        Listing::Server => false,
    }
}

/// Who asks, and what is known.
struct Judge<'a> {
    bound: &'a Bound,
    facts: &'a Facts<'a>,
}

impl Judge<'_> {
    fn held(&self) -> &Scopes {
        &self.bound.verified().claims().scopes
    }

    fn grant(&self, rule: &Rule, call: &Call<'_>) -> Result<Permit, Denial> {
        let object = call.target.object();
        let judged = self.covered(&rule.scopes, object).and_then(|()| self.condition(rule, call));
        let judged = judged.and_then(|()| self.passed(rule, call));
        let by = |denial: Denial| denial.by(&rule.name);
        let passed =
            judged.map_err(|denial| Denial { tool: object.map(str::to_owned), mode: rule.mode, ..by(denial) })?;
        let (credential, passes) = (rule.credential.clone(), rule.passes.clone());
        Ok(Permit { scopes: rule.scopes.clone(), credential, passes, passed, recording: rule.recording })
    }

    /// Several resources and tasks at once take the scopes of all.
    fn all(&self, server: &Server, call: &Call<'_>, uris: &[impl AsRef<str>]) -> Result<Permit, Denial> {
        let mut scopes = Scopes::default();
        let find = |uri: &str| server.resources.find_uri(uri).ok_or_else(|| unknown(uri));
        let tool = |tool: &String| server.tools.find(tool).ok_or_else(|| unknown(tool));
        let resources = uris.iter().map(|uri| find(uri.as_ref()));
        let rules: Vec<_> = resources.chain(self.facts.tasks.iter().map(tool)).collect::<Result<_, _>>()?;
        rules.iter().for_each(|rule| scopes.extend(&rule.scopes));
        self.covered(&scopes, None)?;
        rules.iter().try_for_each(|rule| self.condition(rule, call).map_err(|denial| denial.by(&rule.name)))?;
        let recording = rules.iter().map(|rule| rule.recording).max().unwrap_or_default();
        Ok(Permit { scopes, recording, ..Permit::default() })
    }

    fn covered(&self, needed: &Scopes, name: Option<&str>) -> Result<(), Denial> {
        if self.held().cover(needed) {
            return Ok(());
        }
        let denial = Denial::new(Reason::ScopeMissing, format!("needs `{needed}`"));
        Err(Denial { tool: name.map(str::to_owned), required: needed.clone(), ..denial })
    }

    fn condition(&self, rule: &Rule, call: &Call<'_>) -> Result<(), Denial> {
        let Some(condition) = &rule.condition else { return Ok(()) };
        // The arguments of a task are those it was started with, which are not here any more.
        let whole = matches!(self.facts.view, View::Whole(_)) && self.facts.tasks.is_empty();
        let args = (whole && condition.asks(Variable::Args)).then(|| arguments(call)).transpose()?;
        if args.as_ref().is_some_and(|args| blurred(args, &condition.fields())) {
            let note = "an argument's name is nearly one that `when` asks for";
            return Err(Denial::new(Reason::ConditionError, note));
        }
        match self.judge(condition, args.as_ref())? {
            Verdict::Holds => Ok(()),
            Verdict::Open if !whole => Ok(()),
            Verdict::Open | Verdict::Fails => Err(Denial::new(Reason::ConditionFalse, "`when` does not hold")),
        }
    }

    /// The arguments that narrow the rule's credential.
    fn passed(&self, rule: &Rule, call: &Call<'_>) -> Result<Passed, Denial> {
        // Where they are not known they were judged before, or there are none.
        if rule.passes.is_empty() || !matches!(self.facts.view, View::Whole(_)) || !self.facts.tasks.is_empty() {
            return Ok(Passed::new());
        }
        let args = arguments(call)?;
        let names: Vec<_> = rule.passes.iter().map(String::as_str).collect();
        let wrong = |note| Denial::new(Reason::ConditionError, note);
        if blurred(&args, &names) {
            return Err(wrong("an argument's name is nearly one the credential is narrowed by"));
        }
        let given = names.iter().filter_map(|name| Some(((*name).to_owned(), args.get(name)?)));
        let read = given.map(|(name, value)| Some((name, texts(value)?)));
        read.collect::<Option<_>>().ok_or_else(|| wrong("an argument the credential is narrowed by is no short text"))
    }

    /// Whether some call could be permitted by `rule`.
    fn could(&self, rule: &Rule) -> bool {
        let fits = |condition: &Condition| !matches!(self.judge(condition, None), Ok(Verdict::Fails) | Err(_));
        let permitted = self.held().cover(&rule.scopes) && rule.condition.as_ref().is_none_or(fits);
        permitted || rule.mode != Mode::Enforce
    }

    fn judge(&self, condition: &Condition, args: Option<&Value>) -> Result<Verdict, Denial> {
        let claims = self.bound.verified().claims();
        let said = condition.asks(Variable::Token).then(|| token::said(self.facts.token)).flatten();
        let chain: Vec<_> = claims.chain.names().collect();
        let scene = Scene {
            args,
            token: said.as_ref(),
            agent: &claims.agent,
            subject: &claims.subject,
            chain: &chain,
            request: self.facts.view.request(),
        };
        condition.judge(&scene).map_err(|fault| Denial::new(Reason::ConditionError, format!("`when` {fault}")))
    }
}

/// What conditions see of the arguments.
fn arguments(call: &Call<'_>) -> Result<Value, Denial> {
    call.arguments.value().map_err(|Flaw { reason, note, .. }| Denial::new(reason, note))
}

/// One short text or a few.
fn texts(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let text = |item: &Value| item.as_str().filter(|text| text.len() <= 256).map(str::to_owned);
    if items.len() > 16 { None } else { items.iter().map(text).collect() }
}

/// Whether some name in the arguments is nearly one of `fields`: a server that matches names without case would read it,
/// and the condition has not.
fn blurred(args: &Value, fields: &[&str]) -> bool {
    match args {
        Value::Object(map) => map.iter().any(|(name, value)| nearly(name, fields) || blurred(value, fields)),
        Value::Array(items) => items.iter().any(|item| blurred(item, fields)),
        _ => false,
    }
}

fn unknown(name: &str) -> Denial {
    let denial = Denial::new(Reason::ToolUnknown, "no rule for what is asked for");
    Denial { tool: Some(name.to_owned()), ..denial }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};

    use super::*;
    use crate::call::Arguments;
    use crate::config;
    use crate::mcp::Era;
    use crate::testing::{NOW, claims, policy, policy_json, token};
    use crate::token::{Outcome, Prover};

    fn server(sections: &Value) -> Server {
        let mut policy = policy_json();
        for (name, section) in sections.as_object().unwrap() {
            policy["servers"]["crm"][name] = section.clone();
        }
        config::read(policy).unwrap().server("crm").unwrap().clone()
    }

    /// A token with these scopes, and the proof of it.
    fn bound(server: &Server, scope: &str) -> (Secret, Bound) {
        let mut claims = claims();
        claims["scope"] = json!(scope);
        let token = Secret::new(token(&claims));
        let Outcome::Proved(verified) = Prover::default().prove(&token, server, &policy(), NOW, NOW) else {
            panic!("the token is in order");
        };
        (token, Bound::vouched(verified))
    }

    /// The scopes asked for, or why not.
    fn verdict(server: &Server, method: &str, target: Target<'_>) -> Result<String, Reason> {
        let (token, bound) = bound(server, "crm:read");
        let call = Call {
            id: None,
            method: method.into(),
            target,
            era: Era::Legacy,
            arguments: Arguments::None,
            tasks: false,
        };
        decide(server, &bound, &call, &Facts { token: &token, view: View::Whole([""; 4]), tasks: &[] })
            .map(|permit| permit.scopes().to_string())
            .map_err(|denial| denial.reason)
    }

    #[test]
    fn each_kind_of_thing_has_rules_of_its_own() {
        let read = json!({ "scopes": ["crm:read"] });
        let server = server(&json!({
            "tools": { "t": read }, "prompts": { "p": read }, "resources": { "r://*": read }, "methods": { "m": read },
        }));
        let name = |name: &'static str| Cow::Borrowed(name);
        let permitted = || Ok("crm:read".to_owned());
        assert_eq!(verdict(&server, "tools/call", Target::Tool(name("t"))), permitted());
        assert_eq!(verdict(&server, "prompts/get", Target::Prompt(name("p"))), permitted());
        assert_eq!(verdict(&server, "resources/read", Target::Resource(name("r://a"))), permitted());
        assert_eq!(verdict(&server, "m", Target::Method), permitted());
        for other in ["t", "p", "r://a", "m"] {
            let denied = |target| verdict(&server, "x", target) == Err(Reason::ToolUnknown);
            assert_eq!(denied(Target::Tool(name(other))), other != "t", "{other}");
            assert_eq!(denied(Target::Prompt(name(other))), other != "p", "{other}");
            assert_eq!(denied(Target::Resource(name(other))), other != "r://a", "{other}");
        }
        assert_eq!(verdict(&server, "t", Target::Method), Err(Reason::MethodUnknown));
        assert_eq!(verdict(&server, "tasks/get", Target::Task(name("t"))), Err(Reason::TaskUnknown));
    }

    #[test]
    fn a_tool_is_listed_exactly_when_some_arguments_could_be_permitted() {
        let rule = |scope: &str, when: Option<&str>| match when {
            None => json!({ "scopes": [scope] }),
            Some(when) => json!({ "scopes": [scope], "when": when }),
        };
        let server = server(&json!({ "tools": {
            "a": rule("crm:read", None),
            "b": rule("crm:write", None),
            "c": rule("crm:read", Some("args.n > 3")),
            "d": rule("crm:read", Some("args.n > 3 && agent == 'agent-8'")),
            "e": rule("crm:read", Some("args.n > 3 || agent == 'agent-8'")),
            "f": rule("crm:read", Some("subject == 'alice' && args.n < 3")),
            "g": rule("crm:read", Some("chain[0] == 'planner'")),
            "h*": rule("crm:write", Some("has(args.n) ? args.n == 5 : agent == 'agent-8'")),
        } }));
        for scope in ["other", "crm:read", "crm:write", "crm:read crm:write"] {
            let (token, bound) = bound(&server, scope);
            let facts = Facts { token: &token, view: View::Whole([""; 4]), tasks: &[] };
            for name in ["a", "b", "c", "d", "e", "f", "g", "h", "h2", "i"] {
                let callable = [r#"{"n":0}"#, r#"{"n":5}"#, "{}"].into_iter().any(|text| {
                    let (target, arguments) = (Target::Tool(name.into()), Arguments::Object(text));
                    let call = Call {
                        id: None,
                        method: "tools/call".into(),
                        target,
                        era: Era::Legacy,
                        arguments,
                        tasks: false,
                    };
                    decide(&server, &bound, &call, &facts).is_ok()
                });
                assert_eq!(shows(&server, &bound, Listing::Tools, name, &facts), callable, "{name} with {scope}");
            }
        }
    }

    #[test]
    fn connecting_is_open_unless_a_rule_says_otherwise() {
        let open = server(&json!({}));
        for target in [Target::Session, Target::List(Listing::Tools)] {
            assert_eq!(verdict(&open, "tools/list", target), Ok(String::new()));
        }
        let closed = server(&json!({ "methods": { "tools/list": { "scopes": ["crm:list"] } } }));
        assert_eq!(verdict(&closed, "tools/list", Target::List(Listing::Tools)), Err(Reason::ScopeMissing));
        assert_eq!(verdict(&closed, "ping", Target::Session), Ok(String::new()));
    }

    #[test]
    fn a_subscription_takes_what_all_its_resources_take() {
        let server = server(&json!({
            "resources": { "r://a": { "scopes": ["crm:read"] }, "r://b": { "scopes": ["crm:write"] } },
        }));
        let to = |uris: &[&'static str]| {
            let uris = uris.iter().map(|uri| Cow::Borrowed(*uri)).collect();
            verdict(&server, "subscriptions/listen", Target::Subscription(uris, Vec::new()))
        };
        assert_eq!(to(&[]), Ok(String::new()));
        assert_eq!(to(&["r://a", "r://a"]), Ok("crm:read".into()));
        assert_eq!(to(&["r://a", "r://b"]), Err(Reason::ScopeMissing));
        assert_eq!(to(&["r://a", "r://c"]), Err(Reason::ToolUnknown));
    }
}
