//! Conditions as they are written, judged on one scene, and refused where they make no sense.

use serde_json::json;

use super::*;

mod random;
mod reference;

fn args() -> Json {
    json!({
        "id": "42", "n": 7, "big": u64::MAX, "ratio": 0.5, "on": true, "none": null, "fields": { "tier": "gold", "x": 1 },
        "tags": ["a", "b"], "mixed": [1, "a", null], "nested": { "list": [[1, 2], [3]] }, "name": "Zoë",
    })
}

fn judged(text: &str) -> Result<Verdict, String> {
    let condition = Condition::parse(text, None).map_err(|flaw| format!("{flaw:?}"))?;
    let (args, token) = (args(), json!({ "scope": "crm:read", "level": 3, "act": { "sub": "planner" } }));
    let scene = Scene {
        args: Some(&args),
        token: Some(&token),
        agent: "agent-7",
        subject: "alice",
        chain: &["planner", "front"],
        request: Some(["POST", "gateway", "/crm/mcp", "10.0.0.1:99"]),
    };
    condition.judge(&scene).map_err(|fault| fault.0.to_owned())
}

fn holds(text: &str) {
    assert_eq!(judged(text), Ok(Verdict::Holds), "{text}");
}

#[test]
fn what_is_true_holds_and_what_is_not_fails() {
    for text in [
        "args.id == '42'",
        "args['id'] == \"42\"",
        "args.n == 7",
        "args.n == 7.0",
        "args.n == 7u",
        "args.n != 8",
        "args.n < 7.5",
        "args.big > 9223372036854775807",
        "args.big == 18446744073709551615u",
        "args.ratio <= 0.5",
        "args.ratio * 2.0 == 1.0",
        "args.on",
        "!(!args.on)",
        "args.none == null",
        "args.id != null",
        "args.fields.tier in ['gold', 'silver']",
        "'tier' in args.fields",
        "!('y' in args.fields)",
        "has(args.fields.tier) && !has(args.fields.y)",
        "args.fields.size() == 2",
        "size(args.tags) == 2",
        "args.tags[1] == 'b'",
        "args.tags == ['a', 'b']",
        "args.nested.list[0][1] == 2",
        "args.fields == {'x': 1.0, 'tier': 'gold'}",
        "args.mixed[2] == null",
        "args.mixed != args.tags",
        "args.tags.all(t, t < 'c')",
        "args.tags.exists(t, t == 'b')",
        "args.tags.exists_one(t, t == 'b')",
        "args.mixed.exists(m, m == 'a')",
        "args.tags.map(t, t + '!')[0] == 'a!'",
        "args.mixed.filter(m, m != null).size() == 2",
        "args.tags.map(t, t == 'b', t + t) == ['bb']",
        "args.fields.all(key, key != 'z')",
        "args.id.startsWith('4')",
        "args.id.endsWith('2') && args.id.contains('4')",
        "args.name.size() == 3",
        "args.name == 'Zo\\u00eb'",
        "args.name != r'Zo\\u00eb'",
        "int(args.id) + 1 == 43",
        "double(args.n) / 2.0 == 3.5",
        "args.n / 2 == 3 && args.n % 2 == 1",
        "-args.n == -7",
        "- -args.n == 7",
        "string(args.n) == '7'",
        "uint(args.n) == 7u",
        "args.n + 1 * 2 == 9",
        "(args.n + 1) * 2 == 16",
        "args.n - 1 - 1 == 5",
        "agent == 'agent-7' && subject != agent",
        "size(chain) == 2 && chain[0] == 'planner'",
        "'front' in chain",
        "token.level >= 3 && token.act.sub == 'planner'",
        "request.method == 'POST' && request.source.startsWith('10.')",
        "args.n > 3 ? args.on : false",
        "args.n > 9 ? args.none : args.on",
        "args.n > 9 ? false : args.on",
        "args.n > 3 ? true : false",
        "args.n > 3 ? args.on : true",
        "args.n > 1 || args.gone",
        "args.gone || args.n > 1",
        "!(args.n > 9 && args.gone == 1)",
        "!(args.gone == 1 && args.n > 9)",
        "[1, 2].exists(i, i == args.n - 5)",
        "args.n > 0x6",
        "{7: 'a', true: 'b'}.exists(key, key == args.n)",
        "type(args.n) == int && type(args.big) == uint && type(args.ratio) == double && type(args.n) != uint",
        "type(args.id) == string && type(args.on) == bool && type(args.none) == null_type",
        "type(args.tags) == list && type(args.fields) == map && type([args.n]) == list && type({'a': args}) == map",
        "type(type(args)) == type && type(request) in [map, list]",
        "args.tags.all(int, int != 'c')",
        "args.n > -9223372036854775808 && args.n > - 5",
        "args.ratio == .5 && args.n > -.5e1",
        "args.id in ['42', 'x',] && args.n == {'a': 7,}.a",
        "args.name == 'Zo\\353' && '\\a\\b\\f\\v\\101' != args.id",
        "args.n in [1, 7] // a comment",
        "args.n\n  == 7",
        "[args.n].map(i, [i].map(i, i + 1)[0])[0] == 8",
    ] {
        holds(text);
    }
    for text in
        ["args.n == 8", "args.id == args.n", "args.on && args.n > 9", "args.n > 9 && args.gone", "agent == subject"]
    {
        assert_eq!(judged(text), Ok(Verdict::Fails), "{text}");
    }
}

#[test]
fn what_has_no_result_is_a_fault_and_nothing_is_converted() {
    for text in [
        "args.gone == 1",
        "args.id.gone == 1",
        "args.tags[2] == 'c'",
        "args.tags[-1] == 'c'",
        "args.tags['0'] == 'a'",
        "args.n",
        "args.none",
        "args.id < args.n",
        "args.n + args.ratio > 1.0",
        "args.id + args.n == 1",
        "args.n / 0 == 1",
        "args.n % 0 == 1",
        "9223372036854775807 + args.n > 1",
        "-9223372036854775807 - args.n < 1",
        "args.big + 1u > 1u",
        "args.n in args.id",
        "size(args.n) == 1",
        "int(args.name) == 1",
        "int(1e300 * args.ratio) == 1",
        "uint(0 - args.n) == 1u",
        "args.n > 9 || args.gone",
        "args.n > 1 && args.gone",
        "args.n.all(x, x > 1)",
        "args.mixed.all(m, m > 0)",
        "args.gone ? args.on : args.on",
        "-args.id == 1",
        "!args.n",
        "args.none < args.none",
        "[args.gone].size() == 1",
        "{'a': args.n, 'a': 2}.size() == 1",
        "{null: args.n}.size() == 1",
        "{args.ratio: 1}.size() == 1",
        "{args.tags: 1}.size() == 1",
        "uint(0.0 - args.ratio) == 0u",
        "-(-9223372036854775808) > args.n",
        "-9223372036854775808 / -1 > args.n",
        "-9223372036854775808 % -1 > args.n",
    ] {
        let judged = judged(text);
        assert!(judged.is_err(), "{text} gives {judged:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    for (text, line, column, found) in [
        ("arg.n == 1", 1, 1, "the name `arg`"),
        ("args.n == 1 &&\n  who == 'x'", 2, 3, "the name `who`"),
        ("args.tags.all(t, u == 1)", 1, 18, "the name `u`"),
        ("args.tags.all(t, true) && t == 1", 1, 27, "the name `t`"),
        ("lower(args.id) == 'x'", 1, 1, "the function `lower`"),
        ("args.id.matches('x')", 1, 9, "the function `matches`"),
        ("args.id.startsWith()", 1, 9, "`startsWith` of 1 values"),
        ("agent", 1, 1, "a string"),
        ("size(chain)", 1, 1, "an integer"),
        ("agent == 7", 1, 7, "`==` of a string and an integer"),
        ("'a' in [1, 2] || args.on", 1, 5, "`in` of a string and a list"),
        ("size(chain) < '3'", 1, 13, "`<` of an integer and a string"),
        ("size(chain) * 1.5 > 2.0", 1, 13, "`*` of an integer and a double"),
        ("size(chain) - 1u > 2u", 1, 13, "`-` of an integer and an unsigned integer"),
        ("double(args.n) % 2.0 == 0.0", 1, 16, "`%` of a double and a double"),
        ("size(chain) + 'x' == 'x'", 1, 13, "`+` of an integer and a string"),
        ("type(args.n) == 'int'", 1, 14, "`==` of a type and a string"),
        ("type(args.n) < int", 1, 14, "`<` of a type and a type"),
        ("string(int) == 'int'", 1, 8, "a type"),
        ("type(1) == int", 1, 9, "an expression that is always the same"),
        ("request.port == '1'", 1, 8, "the field `port`"),
        ("agent.name == '1'", 1, 6, "the field `name` of a string"),
        ("chain.a == '1'", 1, 6, "the field `a` of a list"),
        ("chain['a'] == '1'", 1, 7, "a string"),
        ("!agent", 1, 2, "a string"),
        ("agent && args.on", 1, 1, "a string"),
        ("true", 1, 1, "an expression that is always the same"),
        ("1 == 1", 1, 3, "an expression that is always the same"),
        ("args.on && 2 > 1", 1, 14, "an expression that is always the same"),
        ("args.on || true", 1, 12, "an expression that is always the same"),
        ("!(args.on || true)", 1, 14, "an expression that is always the same"),
        ("!!(args.on && 1 > 2)", 1, 17, "an expression that is always the same"),
        ("true ? args.on : false", 1, 1, "an expression that is always the same"),
        ("(args.on || true) ? args.on : false", 1, 13, "an expression that is always the same"),
        ("args.on ? false : 1 > 2", 1, 21, "an expression that is always the same"),
        ("[1].all(i, i > 0)", 1, 5, "an expression that is always the same"),
        ("", 1, 1, "the end"),
        ("args.n ==", 1, 10, "the end"),
        ("args.n = 1", 1, 8, "'='"),
        ("args.n == 1 args", 1, 13, "`args`"),
        ("args.n == 'a", 1, 11, "a string that does not end"),
        ("args.n == 'a\\q'", 1, 13, "an escape nobody knows"),
        ("args.n == 9223372036854775808", 1, 11, "a number that is too large"),
        ("args.n == -9223372036854775809", 1, 11, "a number that is too large"),
        ("args.n == 0X1F", 1, 11, "the number `0`"),
        ("size(chain,) == 1", 1, 12, "`)`"),
        ("args.n in [,]", 1, 12, "`,`"),
        ("args.id == '\\777'", 1, 13, "an escape nobody knows"),
        ("args.n == 99999999999999999999", 1, 11, "the number `99999999999999999999`"),
        ("args.n == 1x", 1, 11, "the number `1`"),
        ("args.(n)", 1, 6, "`(`"),
        ("has(args) && args.on", 1, 1, "`has` of something else"),
        ("args.tags.all(1, true)", 1, 15, "no name"),
        ("args.tags.all(t)", 1, 11, "`all` of 1 parts"),
        ("(args.on", 1, 9, "the end"),
    ] {
        let flaw = Condition::parse(text, None).expect_err(text);
        assert_eq!((flaw.place, flaw.found.as_str()), (Place { line, column }, found), "{text}");
    }
}

#[test]
fn a_schema_tells_what_arguments_are() {
    let schema = Schema::read(&json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "id": { "type": "string" }, "n": { "type": "integer" }, "price": { "type": "number" },
            "tags": { "type": "array", "items": { "type": "string" } }, "any": {}, "either": { "anyOf": [{ "type": "string" }] },
            "inner": { "type": "object", "properties": { "on": { "type": "boolean" } } },
        },
    }));
    for sound in [
        "args.id == 'a'",
        "args.n > 1.5",
        "args.n + 0.5 > 1.5",
        "args.n % 2 == 1",
        "args.price == 1",
        "args.price + args.n > 1",
        "args.tags[0] == 'x'",
        "args.any == 1 || args.any == 'a'",
        "args.either == 1",
        "args.inner.on",
        "args.inner.other == 1",
        "'id' in args",
        "args.tags.all(t, t != '')",
    ] {
        assert!(Condition::parse(sound, Some(&schema)).is_ok(), "{sound}");
    }
    for (odd, column) in [
        ("args.n == '1'", 8),
        ("args.id > 1", 9),
        ("args.nn == 1", 5),
        ("args.tags == 'a'", 11),
        ("args.tags[0] == 1", 14),
        ("args.inner.on == 'x'", 15),
        ("args.id", 5),
        ("args.price", 5),
        ("args.price - args.id == 1", 12),
        ("1 in args.tags", 3),
        ("args.tags.exists(t, t > 1)", 23),
    ] {
        let flaw = Condition::parse(odd, Some(&schema)).expect_err(odd);
        assert_eq!(flaw.place.column, column, "{odd}: {flaw:?}");
    }
}

#[test]
fn what_is_not_known_leaves_open_only_what_depends_on_it() {
    let verdict = |text: &str| {
        let condition = Condition::parse(text, None).unwrap();
        condition.judge(&Scene { args: None, token: None, agent: "a", subject: "b", chain: &[], request: None })
    };
    assert_eq!(verdict("args.n == 1"), Ok(Verdict::Open));
    assert_eq!(verdict("args.n == 1 && agent == 'a'"), Ok(Verdict::Open));
    assert_eq!(verdict("args.n == 1 && agent == 'b'"), Ok(Verdict::Fails));
    assert_eq!(verdict("agent == 'b' || args.n == 1"), Ok(Verdict::Open));
    assert_eq!(verdict("args.all(k, k != agent) && chain[0] == 'x'"), Err(Fault("has an index beyond the end")));
    assert_eq!(verdict("agent == 'a'"), Ok(Verdict::Holds));
    assert_eq!(verdict("agent == 'a' || args.n == 1"), Ok(Verdict::Holds));
    assert_eq!(verdict("agent == 'b' && args.n < 5 || agent == 'c' && args.n < 9"), Ok(Verdict::Fails));
    assert_eq!(verdict("agent == 'b' && args.n < 5 || agent == 'a' && args.n < 9"), Ok(Verdict::Open));
    assert_eq!(verdict("agent == 'a' ? args.n < 5 : agent == 'c'"), Ok(Verdict::Open));
    assert_eq!(verdict("agent == 'b' ? args.n < 5 : agent == 'c'"), Ok(Verdict::Fails));
    assert_eq!(verdict("!(agent == 'a' || has(args.n))"), Ok(Verdict::Fails));
    // A fault leaves an `||` open, and nothing of an `&&` that is the whole.
    let beyond = Err(Fault("has an index beyond the end"));
    assert_eq!(verdict("args.n == 1 || chain[0] == 'x'"), Ok(Verdict::Open));
    assert_eq!(verdict("chain[0] == 'x' || args.n == 1"), Ok(Verdict::Open));
    assert_eq!(verdict("args.n == 1 && chain[0] == 'x'"), beyond);
    assert_eq!(verdict("chain[0] == 'x' && args.n == 1"), beyond);
    assert_eq!(verdict("[0, 1].exists(i, i == 0 ? chain[0] == 'x' : args.n == 1)"), Ok(Verdict::Open));
    assert_eq!(verdict("!(chain[0] == 'x' && args.n == 1)"), Ok(Verdict::Open));
    assert_eq!(verdict("!(chain[0] == 'x' || args.n == 1)"), Ok(Verdict::Open));
    assert_eq!(verdict("![0, 1].all(i, i == 0 ? chain[0] == 'x' : args.n == 1)"), Ok(Verdict::Open));
    assert_eq!(verdict("[0, 1].all(i, i == 1 ? agent == 'x' : args.n == 1)"), Ok(Verdict::Fails));
    let condition = Condition::parse("request.host == 'a' && args.n == 1", None).unwrap();
    assert!(condition.asks(Variable::Request) && condition.asks(Variable::Args) && !condition.asks(Variable::Token));
}

#[test]
fn only_what_is_looked_at_costs() {
    let args = json!({ "many": vec![1; 200_000], "text": "x".repeat(1 << 20), "after": "y" });
    let judge = |text: &str| {
        let condition = Condition::parse(text, None).unwrap();
        condition.judge(&Scene { args: Some(&args), token: None, agent: "", subject: "", chain: &[], request: None })
    };
    for text in [
        "args.many.size() == 200000 && size(args) == 3",
        "args.many[199999] == 1 && args['many'][0] == 1",
        "'many' in args && has(args.text) && args.after == 'y'",
        "args.many != [] && args != {} && args.text != args.after",
        "1 in args.many && args.many.exists(i, i == 1)",
    ] {
        assert_eq!(judge(text), Ok(Verdict::Holds), "{text}");
    }
}

#[test]
fn what_one_costs_is_bounded() {
    let long: Vec<Json> = (0..3000).map(|n| json!(n)).collect();
    let wide: serde_json::Map<_, _> = (0..3000).map(|n| (n.to_string(), json!(n))).collect();
    let args = json!({ "long": long, "wide": wide, "text": "x".repeat(1 << 20) });
    let judge = |text: &str| {
        let condition = Condition::parse(text, None).unwrap();
        condition.judge(&Scene { args: Some(&args), token: None, agent: "", subject: "", chain: &[], request: None })
    };
    let late = Err(Fault("takes too long"));
    assert_eq!(judge("args.long.all(i, i >= 0)"), Ok(Verdict::Holds));
    assert_eq!(judge("args.long.all(i, args.long.all(j, i + j >= 0))"), late);
    assert_eq!(judge("args.long.exists(i, args.long != args.long)"), late);
    assert_eq!(judge("args.long.exists(i, args.long in [args.long.map(j, i)])"), late);
    assert_eq!(judge("args.long.exists(i, args == {'long': i, 'text': args.text + '!'})"), late);
    assert_eq!(judge("args.long.exists(i, args.text.contains('y'))"), late);
    assert_eq!(judge("args.long.exists(i, args.text != args.text)"), late);
    assert_eq!(judge("args.long.all(i, args.wide.exists(key, key != ''))"), late);
    assert_eq!(judge("args.long.exists(i, args.wide != args.wide)"), late);
    assert_eq!(judge("args.long.map(i, args.long).map(l, l + l).size() == 1"), late);
    for deep in
        ["(".repeat(40) + "args.on" + &")".repeat(40), "!".repeat(40) + "args.on", "args".to_owned() + &".a".repeat(40)]
    {
        assert_eq!(Condition::parse(&deep, None).unwrap_err().found, "more than 32 levels");
    }
    let wide = format!("args.n == 0{}", " + 1".repeat(40));
    assert_eq!(Condition::parse(&wide, None).unwrap_err().found, "more than 32 levels");
    assert!(Condition::parse(&"args.on && ".repeat(500), None).is_err());
}

#[test]
fn a_condition_says_which_fields_it_looks_at() {
    let reads = |text: &str| Condition::parse(text, None).unwrap().reads(Variable::Args, "body");
    for text in [
        "args.body.n < 5",
        "has(args.body)",
        "args['body'] == 1",
        "agent == 'a' && args.l.all(i, i < args.body.n)",
        // What does not say which field could mean this one.
        "!('body' in args)",
        "args[agent] == 1",
        "args.all(k, k in ['id'])",
        "[args].exists(a, !has(a.body))",
        "size(args) == 1",
        "args == {'id': '1'}",
    ] {
        assert!(reads(text), "{text}");
    }
    for text in ["args.n < 5", "args.a.body == 1", "token.body == 'a'", "args['a'] == 'body'"] {
        assert!(!reads(text), "{text}");
    }
}
