//! What has to hold over any chain of hops.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

const AGENTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SCOPES: [&str; 4] = ["w", "x", "y", "z"];

/// One hop: who takes over, what its token, its entry and its request hold, and how long each lasts.
#[derive(Clone, Debug)]
struct Hop {
    agent: usize,
    actor: Scopes,
    entry: Scopes,
    asked: Option<Scopes>,
    ends: u64,
    lifetime: u64,
    wait: u64,
}

fn some() -> impl Strategy<Value = Scopes> {
    subsequence(&SCOPES[..], 1..=4).prop_map(|list| words(&list.join(" ")))
}

fn hop() -> impl Strategy<Value = Hop> {
    let ends = (1..900_u64, 1..900_u64, 0..60_u64);
    (0..AGENTS.len(), some(), some(), proptest::option::of(some()), ends).prop_map(
        |(agent, actor, entry, asked, (ends, lifetime, wait))| Hop { agent, actor, entry, asked, ends, lifetime, wait },
    )
}

proptest! {
    #[test]
    fn over_any_chain_of_hops_nothing_grows(
        subject in prop_oneof![Just("alice"), proptest::sample::select(&AGENTS[..])],
        first in 0..AGENTS.len(),
        scopes in some(),
        edges in vec(subsequence(&AGENTS[..], 0..=6), 6),
        barred in proptest::option::of(0..AGENTS.len()),
        max_depth in 0..6_usize,
        hops in vec(hop(), 1..8),
    ) {
        let registry: BTreeMap<_, _> = AGENTS.iter().zip(&edges).enumerate().map(|(index, (id, edges))| {
            let standing = if barred == Some(index) { Standing::Barred } else { Standing::Active };
            let may_delegate_to = edges.iter().map(|name| Pattern::parse(name).unwrap()).collect();
            ((*id).to_owned(), Entry { standing, may_delegate_to })
        }).collect();
        let mut held = Claims { scopes, ..claims(AGENTS[first], subject) };
        let (mut now, mut holders) = (NOW, 1_usize);
        for hop in hops {
            let id = AGENTS[hop.agent];
            now = now.plus(Duration::from_secs(hop.wait));
            let own = Claims { scopes: hop.actor, expires: now.plus(Duration::from_secs(hop.ends)), ..claims(id, id) };
            let request = Request {
                subject: Held { issuer: US, claims: &held, may_act: None },
                actor: Held { issuer: US, claims: &own, may_act: None },
                agent: Agent {
                    id,
                    scopes: &hop.entry,
                    resources: &[CRM.to_owned()],
                    accepts: &[],
                    lifetime: Duration::from_secs(hop.lifetime),
                },
                scopes: hop.asked.as_ref(),
                resource: CRM,
                proven: Bond::default(),
            };
            let terms = Terms { issuer: US, accepted: &[US], registry: &registry, max_depth };
            let Ok(next) = delegate(&request, &terms, now) else { continue };
            holders = holders.saturating_add(1);
            prop_assert!(held.scopes.cover(&next.scopes) && own.scopes.cover(&next.scopes));
            prop_assert!(hop.entry.cover(&next.scopes) && !next.scopes.is_empty());
            prop_assert!(hop.asked.is_none_or(|asked| asked.cover(&next.scopes)));
            prop_assert!(next.expires <= held.expires && next.expires <= own.expires && next.expires > now);
            prop_assert_eq!((&next.subject, next.agent.as_str()), (&held.subject, id));
            // Everyone who has held the task, once: who began, and one more for each hop.
            let names: Vec<_> = next.chain.names().collect();
            prop_assert_eq!(names.len(), holders);
            prop_assert!(names.len() <= max_depth);
            prop_assert_eq!((names[0], names[1]), (id, held.agent.as_str()));
            if holders > 2 {
                prop_assert_eq!(&next.chain.actors()[1..], held.chain.actors());
            }
            prop_assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)));
            prop_assert!(registry[names[1]].may_delegate_to.iter().any(|one| one.matches(id)));
            let earlier = names[1..].iter().chain([&subject]).filter_map(|name| registry.get(*name));
            prop_assert!(earlier.into_iter().all(|entry| entry.standing == Standing::Active));
            held = Claims { chain: next.chain, scopes: next.scopes, expires: next.expires, ..claims(id, subject) };
        }
    }
}
