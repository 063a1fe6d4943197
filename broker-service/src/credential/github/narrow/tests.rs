use super::*;

fn files() -> Files {
    Files::at(std::path::Path::new("."))
}

/// The limits of a definition, or what is wrong with it.
fn limits(definition: Value) -> Result<Limits, String> {
    let mut files = files();
    let mut members: BTreeMap<String, Value> = serde_json::from_value(definition).unwrap();
    let owner = members.remove("owner").map(|owner| owner.as_str().unwrap().to_owned());
    let take = |members: &mut BTreeMap<String, Value>, name: &str| members.remove(name);
    let repositories = take(&mut members, "repositories").map_or(Field::Missing, Field::Read);
    let allowed = accredit_policy::config::field::take(&mut members, "allow_repositories");
    let permissions = accredit_policy::config::field::take(&mut members, "permissions");
    let limits = Limits::check(owner, repositories, allowed, permissions, &mut files, &Path::root());
    files.report.finish(limits).map_err(|errors| errors.to_string())
}

fn arguments(pairs: &[(&str, &[&str])]) -> Arguments {
    pairs
        .iter()
        .map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
        .collect()
}

fn from_arguments() -> Limits {
    let definition = json!({
        "owner": "Acme", "repositories": ["{args.repo}"], "allow_repositories": ["crm-*", "Docs"],
        "permissions": { "contents": "{args.access}", "issues": "read" },
    });
    limits(definition).unwrap()
}

#[test]
fn a_token_is_narrowed_to_what_the_arguments_name() {
    let wanted = from_arguments()
        .narrow(&arguments(&[("repo", &["acme/crm-WEB", "acme/CRM-web", "docs"]), ("access", &["write"])]))
        .unwrap();
    let body = json!({ "repositories": ["CRM-web", "docs"], "permissions": { "contents": "write", "issues": "read" } });
    assert_eq!(wanted.body(), body);
}

#[test]
fn a_missing_argument_is_a_refusal() {
    let limits = from_arguments();
    let why = |given: &[(&str, &[&str])]| match limits.narrow(&arguments(given)) {
        Err(Failure::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&[("access", &["read"])]), "the call has no argument for `args.repo`");
    assert_eq!(why(&[("repo", &["docs"])]), "the call has no argument for `args.access`");
    assert_eq!(why(&[("repo", &[]), ("access", &["read"])]), "no repository");
    assert_eq!(why(&[("repo", &["docs"]), ("access", &[])]), "no level for the permission `contents`");
    assert_eq!(why(&[("repo", &["docs"]), ("access", &["read", "write"])]), "no level for the permission `contents`");
}

#[test]
fn a_name_that_is_not_of_a_repository_of_the_owner_is_refused() {
    let limits = from_arguments();
    let long = "crm-".repeat(30);
    for name in [
        "",
        ".",
        "..",
        "../docs",
        "docs/..",
        "acme/../docs",
        "acme/",
        "/docs",
        "other/docs",
        "acme/docs/x",
        "crm-web/",
        "crm web",
        "crm-\u{e4}",
        "crm-%2e",
        "crm-web\n",
        "crm-*",
        "crm-{x}",
        "acme\\docs",
        "billing",
        "doc",
        "docs2",
        &long,
    ] {
        let failure = limits.narrow(&arguments(&[("repo", &["docs", name]), ("access", &["read"])])).unwrap_err();
        assert!(matches!(failure, Failure::Refused(_)), "{name:?}");
        assert!(name.len() < 4 || !failure.to_string().contains(name), "the failure holds an argument: {failure}");
    }
}

#[test]
fn without_an_owner_no_name_has_one() {
    let definition = json!({ "repositories": ["{args.repo}"], "permissions": { "contents": "read" } });
    let limits = limits(definition).unwrap();
    limits.narrow(&arguments(&[("repo", &["docs"])])).unwrap();
    limits.narrow(&arguments(&[("repo", &["acme/docs"])])).unwrap_err();
}

#[test]
fn a_level_is_one_of_three_words() {
    let limits = from_arguments();
    for level in ["Read", "owner", "", "read ", "none", "{args.access}"] {
        limits.narrow(&arguments(&[("repo", &["docs"]), ("access", &[level])])).unwrap_err();
    }
}

#[test]
fn a_place_within_a_text_takes_one_value() {
    let definition = json!({ "repositories": ["crm-{args.team}"], "permissions": { "contents": "read" } });
    let limits = limits(definition).unwrap();
    let names = |values: &[&str]| {
        limits.narrow(&arguments(&[("team", values)])).map(|wanted| wanted.body()["repositories"].clone())
    };
    assert_eq!(names(&["web"]).unwrap(), json!(["crm-web"]));
    names(&["web", "api"]).unwrap_err();
    names(&["/../x"]).unwrap_err();
}

#[test]
fn no_more_than_a_limited_number_of_repositories_is_asked_for() {
    let definition = json!({ "repositories": ["{args.repo}"], "permissions": { "contents": "read" } });
    let limits = limits(definition).unwrap();
    let names: Vec<_> = (0..=MOST).map(|number| format!("r-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    limits.narrow(&arguments(&[("repo", &names[1..])])).unwrap();
    limits.narrow(&arguments(&[("repo", &names)])).unwrap_err();
}

#[test]
fn all_repositories_have_to_be_spelled_out() {
    let all = limits(json!({ "repositories": "all", "permissions": { "contents": "read" } })).unwrap();
    let wanted = all.narrow(&Arguments::new()).unwrap();
    assert_eq!(wanted.body(), json!({ "permissions": { "contents": "read" } }));
    for repositories in [json!(null), json!([]), json!("any"), json!(7)] {
        let errors =
            limits(json!({ "repositories": repositories, "permissions": { "contents": "read" } })).unwrap_err();
        assert!(errors.contains("all repositories of the installation have to be spelled out"), "{errors}");
    }
}

#[test]
fn mistakes_of_the_file_are_told() {
    for (change, told) in [
        (json!({ "repositories": ["a/b/c"] }), "`repositories[0]`: found refused: a name that is not of a repository"),
        (json!({ "repositories": ["other"], "allow_repositories": ["crm-*"] }), "not in `allow_repositories`"),
        (json!({ "repositories": ["{repo}"] }), "found `{repo}`, accepted is a text with places as `{args.NAME}`"),
        (json!({ "repositories": ["{args.}"] }), "found `{args.}`"),
        (json!({ "repositories": [7] }), "found another value, accepted is a string"),
        (json!({ "repositories": "all", "allow_repositories": ["x"] }), "nothing with `repositories: all`"),
        (json!({ "allow_repositories": ["a*b"] }), "`allow_repositories[0]`: found `a*b`"),
        (json!({ "permissions": {} }), "`permissions`: found no permission"),
        (json!({ "permissions": { "contents": "all" } }), "`permissions.contents`: found `all`"),
        (json!({ "permissions": { "contents": "re{args.x}" } }), "`permissions.contents`: found `re{args.x}`"),
        (json!({ "permissions": { "Contents!": "read" } }), "found `read`"),
        (json!({ "owner": "a/b" }), "`owner`: found another text"),
    ] {
        let mut definition = json!({ "repositories": ["docs"], "permissions": { "contents": "read" } });
        definition.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let errors = limits(definition).unwrap_err();
        assert!(errors.contains(told), "{errors}");
    }
}
