//! Texts and conditions nobody thought of.

use proptest::prelude::*;

use super::*;

/// Conditions of which some parts depend on arguments, some come to nothing, and some do not matter.
fn conditions() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "args.n == 7",
        "args.n > 9",
        "args.gone == 1",
        "args.on",
        "agent == 'agent-7'",
        "agent == 'x'",
        "chain[9] == 'x'",
        "chain.exists(c, c == args.id)",
        "chain.all(c, c != agent || args.on)",
        "has(args.gone)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |part| {
        let joined = (part.clone(), prop::sample::select(vec!["&&", "||", "==", "!="]), part.clone());
        prop_oneof![
            joined.prop_map(|(left, mark, right)| format!("({left}) {mark} ({right})")),
            part.clone().prop_map(|part| format!("!({part})")),
            (part.clone(), part.clone(), part)
                .prop_map(|(test, first, second)| format!("({test}) ? ({first}) : ({second})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_holds_or_not_without_arguments_does_so_with_any(text in conditions()) {
        let condition = Condition::parse(&text, None).unwrap();
        let scene = Scene {
            args: None, token: None, agent: "agent-7", subject: "", chain: &["planner", "front"], request: None,
        };
        for args in [args(), json!({}), json!({ "n": 10, "on": false, "id": "front" }), json!({ "gone": 1, "on": 2 })] {
            let known = condition.judge(&Scene { args: Some(&args), ..scene });
            match condition.judge(&scene) {
                Ok(Verdict::Open) => {}
                Ok(Verdict::Holds) => prop_assert_eq!(known, Ok(Verdict::Holds)),
                Ok(Verdict::Fails) | Err(_) => prop_assert_ne!(known, Ok(Verdict::Holds)),
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ -~\u{e9}\n]{0,60}") {
        let _ = judged(&text);
    }

    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "args", ".", "n", "tags", "[", "]", "(", ")", "==", "<", "&&", "||", "!", "-", "+", "/", "1", "0", "1.5", "2u", "'a'", "?", ":", ",",
        "in", "has", "size", "all", "map", "chain", "agent", "true", "null", "{", "}",
    ]), 0..16)) {
        let _ = judged(&words.join(" "));
    }
}
