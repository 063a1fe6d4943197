use accredit_policy::token::confirmation::Confirmation;
use serde_json::json;

use super::*;

mod hops;
mod may_act;

const US: &str = "https://broker.example.test";
const CORP: &str = "https://idp.example.test";
const CRM: &str = "https://gateway.example.test/crm/mcp";
const SCOUT: &str = "https://scout.example.test";
const NOW: Time = Time::from_seconds(1_800_000_000);

fn words(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}

fn after(seconds: u64) -> Time {
    NOW.plus(Duration::from_secs(seconds))
}

/// A token of `agent` for `subject`.
fn claims(agent: &str, subject: &str) -> Claims {
    Claims {
        agent: agent.into(),
        subject: subject.into(),
        chain: Chain::default(),
        may_act: None,
        scopes: words("crm:read crm:write"),
        id: None,
        audiences: vec![US.into()],
        confirmation: None,
        listing: None,
        issued: Some(NOW),
        begins: Some(NOW),
        expires: after(300),
    }
}

fn actor(subject: &str, issuer: Option<&str>) -> Actor {
    Actor { subject: subject.into(), issuer: issuer.map(str::to_owned) }
}

/// The planner has a task of alice's and hands it on to the scout; each test changes one thing.
struct Case {
    issuer: &'static str,
    subject: Claims,
    may_act: Option<Value>,
    actor_issuer: &'static str,
    actor: Claims,
    scopes: Scopes,
    asked: Option<Scopes>,
    resource: &'static str,
    lifetime: u64,
    proven: Bond,
    accepted: Vec<&'static str>,
    registry: BTreeMap<String, Entry>,
    max_depth: usize,
}

impl Default for Case {
    fn default() -> Self {
        let entry = |names: &[&str]| Entry {
            standing: Standing::Active,
            may_delegate_to: names.iter().map(|name| Pattern::parse(name).unwrap()).collect(),
        };
        let registry = [("planner", entry(&["scout", "writer-*"])), ("scout", entry(&[])), ("lead", entry(&[]))];
        Self {
            issuer: US,
            subject: claims("planner", "alice"),
            may_act: None,
            actor_issuer: US,
            actor: claims("scout", "scout"),
            scopes: words("crm:read crm:write"),
            asked: None,
            resource: CRM,
            lifetime: 600,
            proven: Bond::default(),
            accepted: vec![US, CORP],
            registry: registry.map(|(id, entry)| (id.to_owned(), entry)).into(),
            max_depth: 3,
        }
    }
}

impl Case {
    fn judge(&self) -> Result<Delegated, Refusal> {
        let subject = Held { issuer: self.issuer, claims: &self.subject, may_act: self.may_act.as_ref() };
        let request = Request {
            subject,
            actor: Held { issuer: self.actor_issuer, claims: &self.actor, may_act: None },
            agent: Agent {
                id: "scout",
                scopes: &self.scopes,
                resources: &[CRM.to_owned()],
                accepts: &[SCOUT.to_owned()],
                lifetime: Duration::from_secs(self.lifetime),
            },
            scopes: self.asked.as_ref(),
            resource: self.resource,
            proven: self.proven,
        };
        let terms = Terms { issuer: US, accepted: &self.accepted, registry: &self.registry, max_depth: self.max_depth };
        delegate(&request, &terms, NOW)
    }

    /// The chain of the token, as `act` has it.
    fn act(&self) -> Value {
        crate::credential::jwt::actors(&self.judge().unwrap().chain).unwrap()
    }
}

fn refused(change: impl FnOnce(&mut Case)) -> Option<Refusal> {
    let mut case = Case::default();
    change(&mut case);
    case.judge().err()
}

fn entry(case: &mut Case, id: &str) -> Entry {
    case.registry.get(id).unwrap().clone()
}

#[test]
fn the_task_stays_its_subjects_and_the_agent_joins_the_chain() {
    let delegated = Case::default().judge().unwrap();
    assert_eq!((delegated.subject.as_str(), delegated.agent.as_str()), ("alice", "scout"));
    assert_eq!((delegated.audience.as_str(), delegated.expires), (CRM, after(300)));
    assert_eq!(delegated.scopes, words("crm:read crm:write"));
    assert_eq!(Case::default().act(), json!({ "sub": "scout", "act": { "sub": "planner" } }));
}

#[test]
fn the_chain_before_is_nested_and_its_current_actor_not_repeated() {
    let mut case = Case::default();
    case.subject.chain = [actor("planner", Some(US)), actor("lead", None)].into_iter().collect();
    assert_eq!(case.act(), json!({ "sub": "scout", "act": { "sub": "planner", "act": { "sub": "lead" } } }));
    // An agent that begins a task of its own has held it all the same.
    case.subject = claims("planner", "planner");
    assert_eq!(case.act(), json!({ "sub": "scout", "act": { "sub": "planner" } }));
}

#[test]
fn names_of_another_issuer_stay_its_own() {
    let mut case = Case { issuer: CORP, may_act: Some(json!({ "sub": "scout", "iss": US })), ..Case::default() };
    case.subject.chain = [actor("lead", None)].into_iter().collect();
    assert_eq!(
        case.act(),
        json!({ "sub": "scout", "act": { "sub": "planner", "iss": CORP, "act": { "sub": "lead", "iss": CORP } } })
    );
    // The same name, and yet another agent: the chain says so, and the holder is put in.
    case.subject.chain = [actor("planner", Some("https://else.example.test"))].into_iter().collect();
    assert_eq!(case.judge(), Err(Refusal::Loop));
}

#[test]
fn only_we_say_which_of_our_agents_have_acted() {
    let foreign = |named: Actor| {
        refused(|case| {
            (case.issuer, case.may_act) = (CORP, Some(json!({ "sub": "scout", "iss": US })));
            case.subject.chain = [named].into_iter().collect();
        })
    };
    assert_eq!(foreign(actor("lead", Some(US))), Some(Refusal::Impostor));
    assert_eq!(foreign(actor("lead", Some("https://else.example.test"))), Some(Refusal::Issuer));
    assert_eq!(foreign(actor("lead", Some(CORP))), None);
    let named = |subject: &str| {
        refused(|case| {
            (case.issuer, case.may_act) = (CORP, Some(json!({ "sub": "scout", "iss": US })));
            case.subject.subject = subject.into();
        })
    };
    assert_eq!((named("lead"), named("alice")), (Some(Refusal::Impostor), None));
}

#[test]
fn an_actor_token_is_the_clients_own_and_for_itself() {
    assert_eq!(refused(|case| case.actor_issuer = CORP), Some(Refusal::ActorToken));
    for actor in [claims("writer", "writer"), claims("scout", "alice"), claims("alice", "scout")] {
        assert_eq!(refused(|case| case.actor = actor), Some(Refusal::ActorToken));
    }
    let chained = |case: &mut Case| case.actor.chain = [actor("scout", None)].into_iter().collect();
    assert_eq!(refused(chained), Some(Refusal::ActorToken));
}

#[test]
fn a_task_is_handed_on_to_those_the_holder_names() {
    for (names, expected) in [
        (&[][..], Some(Refusal::HandsOn)),
        (&["scout-*", "Scout", "writer"], Some(Refusal::HandsOn)),
        (&["writer", "scout"], None),
        (&["sc*"], None),
    ] {
        let refusal = refused(|case| {
            let entry = case.registry.get_mut("planner").unwrap();
            entry.may_delegate_to = names.iter().map(|name| Pattern::parse(name).unwrap()).collect();
        });
        assert_eq!(refusal, expected, "{names:?}");
    }
    let forgotten = |case: &mut Case| drop(case.registry.remove("planner"));
    assert_eq!(refused(forgotten), Some(Refusal::HandsOn));
    let suspended = |case: &mut Case| case.registry.get_mut("planner").unwrap().standing = Standing::Barred;
    assert_eq!(refused(suspended), Some(Refusal::HandsOn));
}

#[test]
fn the_entry_of_an_earlier_actor_does_not_let_the_holder_hand_on() {
    let refusal = refused(|case| {
        case.subject = claims("lead", "alice");
        case.subject.chain = [actor("lead", None), actor("planner", None)].into_iter().collect();
    });
    assert_eq!(refusal, Some(Refusal::HandsOn));
}

#[test]
fn scopes_are_what_all_have() {
    let granted = |change: fn(&mut Case)| {
        let mut case = Case::default();
        change(&mut case);
        case.judge().map(|delegated| delegated.scopes.to_string())
    };
    assert_eq!(granted(|case| case.subject.scopes = words("crm:read crm:admin")), Ok("crm:read".into()));
    assert_eq!(granted(|case| case.actor.scopes = words("crm:write")), Ok("crm:write".into()));
    assert_eq!(granted(|case| case.scopes = words("crm:write other")), Ok("crm:write".into()));
    assert_eq!(granted(|case| case.asked = Some(words("crm:read crm:admin"))), Ok("crm:read".into()));
    assert_eq!(granted(|case| case.asked = Some(words("crm:admin"))), Err(Refusal::Scope));
    assert_eq!(granted(|case| case.asked = Some(Scopes::default())), Err(Refusal::Scope));
    assert_eq!(granted(|case| case.subject.scopes = Scopes::default()), Err(Refusal::Scope));
    assert_eq!(
        granted(|case| (case.subject.scopes, case.actor.scopes) = (words("crm:read"), words("crm:write"))),
        Err(Refusal::Scope)
    );
}

#[test]
fn the_token_ends_with_the_first_of_those_it_comes_from() {
    let ends = |subject: u64, actor: u64, lifetime: u64| {
        let mut case = Case { lifetime, ..Case::default() };
        (case.subject.expires, case.actor.expires) = (after(subject), after(actor));
        case.judge().map(|delegated| delegated.expires)
    };
    assert_eq!(ends(10, 20, 30), Ok(after(10)));
    assert_eq!(ends(20, 10, 30), Ok(after(10)));
    assert_eq!(ends(30, 20, 10), Ok(after(10)));
    assert_eq!(ends(0, 20, 30), Err(Refusal::Over));
    assert_eq!(ends(30, 0, 30), Err(Refusal::Over));
    assert_eq!(ends(30, 30, 0), Err(Refusal::Over));
}

#[test]
fn only_a_resource_of_the_agent_can_be_asked_for() {
    assert_eq!(refused(|case| case.resource = "https://gateway.example.test/crm"), Some(Refusal::Target));
}

#[test]
fn a_token_for_another_party_is_not_the_agents_to_exchange() {
    let subject = |audiences: &[&str]| {
        refused(|case| case.subject.audiences = audiences.iter().map(|one| (*one).to_owned()).collect())
    };
    for audience in [US, CRM, SCOUT] {
        assert_eq!(subject(&[audience]), None, "{audience}");
        assert_eq!(subject(&["https://else.example.test", audience]), None, "{audience}");
    }
    for audience in ["https://else.example.test", "https://scout.example.test/", "scout", ""] {
        assert_eq!(subject(&[audience]), Some(Refusal::Audience), "{audience}");
    }
    assert_eq!(subject(&[]), Some(Refusal::Audience));
    let actor = |audience: &str| refused(|case| case.actor.audiences = vec![audience.into()]);
    assert_eq!((actor(US), actor(CRM)), (None, None));
    assert_eq!(actor(SCOUT), Some(Refusal::Audience), "which it has been sent, and not asked for");
}

#[test]
fn a_task_goes_only_where_its_issuers_are_accepted() {
    let mut case = Case { issuer: "https://else.example.test", ..Case::default() };
    case.may_act = Some(json!({ "sub": "scout", "iss": US }));
    assert_eq!(case.judge(), Err(Refusal::Issuer));
    case.issuer = CORP;
    assert!(case.judge().is_ok());
    assert_eq!(refused(|case| case.accepted = vec![CORP]), Some(Refusal::Issuer), "nothing of ours is accepted there");
    // One hop later it is our own token, and its chain still says where it came from.
    (case.issuer, case.may_act) = (US, None);
    case.subject.chain =
        [actor("planner", None), actor("lead", Some("https://else.example.test"))].into_iter().collect();
    assert_eq!(case.judge(), Err(Refusal::Issuer));
}

#[test]
fn nobody_gets_a_task_twice() {
    let chained = |names: &[&str]| {
        refused(|case| {
            case.max_depth = 16;
            case.subject.chain = names.iter().map(|name| actor(name, None)).collect();
        })
    };
    assert_eq!(chained(&["planner", "scout"]), Some(Refusal::Loop));
    assert_eq!(chained(&["planner", "scout", "lead"]), Some(Refusal::Loop));
    assert_eq!(chained(&["lead", "planner"]), Some(Refusal::Loop), "the holder has had it before");
    assert_eq!(chained(&["planner", "lead"]), None);
    let itself = |case: &mut Case| {
        case.subject = claims("scout", "alice");
        let own = Entry { standing: Standing::Active, may_delegate_to: vec![Pattern::parse("*").unwrap()] };
        case.registry.insert("scout".into(), own);
    };
    assert_eq!(refused(itself), Some(Refusal::Loop), "its own token is none it was given");
    assert_eq!(refused(|case| case.subject.subject = "scout".into()), Some(Refusal::Loop));
}

#[test]
fn the_chain_is_as_deep_as_the_operator_says() {
    let depth = |names: &[&str], max_depth: usize| {
        refused(|case| {
            case.max_depth = max_depth;
            case.subject.chain = names.iter().map(|name| actor(name, None)).collect();
        })
    };
    assert_eq!(depth(&["planner", "lead"], 3), None);
    assert_eq!(depth(&["planner", "lead"], 2), Some(Refusal::Depth));
    assert_eq!(depth(&["planner"], 2), None);
    assert_eq!(depth(&[], 1), Some(Refusal::Depth));
    assert_eq!(depth(&[], 0), Some(Refusal::Depth));
}

#[test]
fn nobody_who_is_barred_has_a_part_in_it() {
    let barred = |id: &str, subject: &str, names: &[&str]| {
        refused(|case| {
            let entry = Entry { standing: Standing::Barred, ..entry(case, "lead") };
            case.registry.insert(id.into(), entry);
            case.subject.subject = subject.into();
            case.subject.chain = names.iter().map(|name| actor(name, None)).collect();
        })
    };
    assert_eq!(barred("lead", "alice", &["planner", "lead"]), Some(Refusal::Barred));
    assert_eq!(barred("lead", "alice", &["planner"]), None);
    assert_eq!(barred("lead", "lead", &["planner"]), Some(Refusal::Barred), "the subject is an agent of ours");
    let forgotten = refused(|case| {
        case.registry.remove("lead");
        case.subject.chain = [actor("planner", None), actor("lead", None)].into_iter().collect();
    });
    assert_eq!(forgotten, Some(Refusal::Barred));
}

#[test]
fn the_agents_whose_entries_decide_are_our_own() {
    let mut subject = claims("planner", "alice");
    subject.chain = [actor("planner", None), actor("lead", Some(US)), actor("boss", Some(CORP))].into_iter().collect();
    let agents = |issuer| Held { issuer, claims: &subject, may_act: None }.agents(US).join(" ");
    assert_eq!(agents(US), "planner lead planner alice");
    assert_eq!(agents(CORP), "lead planner alice");
}

#[test]
fn a_bound_token_counts_in_its_holders_hands_only() {
    let (mine, other) = ([1; 32], [2; 32]);
    let bound = |key: Option<[u8; 32]>, certificate: Option<[u8; 32]>| Some(Confirmation { key, certificate });
    let judge = |confirmation: Option<Confirmation>, proven: Bond| {
        let subject = refused(|case| (case.subject.confirmation, case.proven) = (confirmation.clone(), proven));
        let actor = refused(|case| (case.actor.confirmation, case.proven) = (confirmation, proven));
        assert_eq!(subject, actor);
        subject
    };
    let shows = |key: Option<[u8; 32]>, certificate: Option<[u8; 32]>| Bond { key, certificate };
    assert_eq!(judge(bound(Some(mine), None), shows(Some(mine), None)), None);
    assert_eq!(judge(bound(None, Some(mine)), shows(None, Some(mine))), None);
    assert_eq!(judge(None, shows(Some(mine), None)), None);
    for proven in [shows(None, None), shows(Some(other), None), shows(None, Some(mine))] {
        assert_eq!(judge(bound(Some(mine), None), proven), Some(Refusal::Unbound), "{proven:?}");
        assert_eq!(judge(bound(Some(mine), Some(mine)), proven), Some(Refusal::Unbound), "{proven:?}");
    }
    assert_eq!(judge(bound(None, Some(mine)), shows(Some(mine), None)), Some(Refusal::Unbound));
}
