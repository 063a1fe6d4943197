//! The demo from images.

use super::*;

fn service(name: &str) -> Value {
    let service = sole(COMPOSE)["services"][name].take();
    assert!(service.is_object(), "no service `{name}`");
    service
}

/// Where a service sees the files of `envoy/`: those mounted, and its secrets.
fn mounted(service: &Value) -> BTreeSet<(String, String)> {
    let whole = sole(COMPOSE);
    let volumes = list(&service["volumes"]).into_iter().map(|volume| {
        let parts: Vec<_> = volume.split(':').collect();
        (parts[0].trim_start_matches("./").to_owned(), parts[1].to_owned())
    });
    let secrets = service["secrets"].as_array().into_iter().flatten().map(|secret| {
        let source = secret.as_str().or_else(|| secret["source"].as_str()).unwrap();
        let file = whole["secrets"][source]["file"].as_str().unwrap_or_else(|| panic!("no secret `{source}`"));
        let target = secret["target"].as_str().map_or_else(|| format!("/run/secrets/{source}"), str::to_owned);
        (file.trim_start_matches("./").to_owned(), target)
    });
    volumes.chain(secrets).collect()
}

fn mount(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[test]
fn there_are_three_services_on_the_hosts_network() {
    let whole = sole(COMPOSE);
    let services = whole["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["broker", "envoy", "tools"]);
    for (name, service) in services {
        assert_eq!(service["network_mode"], "host", "{name}: everything listens on loopback");
        assert!(service.get("ports").is_none(), "{name}: the host's network has no port mappings");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(list(&service["cap_drop"]), ["ALL"], "{name}");
    }
}

#[test]
fn the_ports_are_those_of_the_demo() {
    let envoy = sole("envoy/envoy.yaml");
    let named = under(&envoy, "port_value").into_iter().map(|port| port.as_u64().unwrap());
    assert_eq!(named.collect::<BTreeSet<_>>(), BTreeSet::from(PORTS));
    let [_, _, broker, tools] = PORTS;
    assert_eq!(sole("envoy/broker.yaml")["listen"], format!("127.0.0.1:{broker}"));
    let service = service("tools");
    let command = list(&service["command"]);
    for wanted in [
        format!("--listen=127.0.0.1:{tools}"),
        format!("--jwks=http://127.0.0.1:{broker}/jwks.json"),
        format!("--issuer={}", sole("envoy/broker.yaml")["issuer"].as_str().unwrap()),
        format!("--audience={}", sole("envoy/broker.yaml")["credentials"]["crm-api"]["audience"].as_str().unwrap()),
    ] {
        assert!(command.contains(&wanted.as_str()), "`{wanted}` is not in {command:?}");
    }
    let probe = texts(&self::service("broker")["healthcheck"]).concat();
    assert!(probe.contains(&format!("/dev/tcp/127.0.0.1/{broker};")) && probe.contains("/readyz"), "{probe}");
}

#[test]
fn the_broker_finds_every_file_it_names() {
    let broker = sole("envoy/broker.yaml");
    let service = service("broker");
    let mounts = mounted(&service);
    // Paths of broker.yaml start at its folder, in the container as in the repository.
    assert!(mounts.contains(&mount("broker.yaml", "/accredit/broker.yaml")), "{mounts:?}");
    let secrets = under(&broker, "secret_file").into_iter().chain(under(&broker, "token_file"));
    for path in secrets.chain([&broker["policy"], &broker["data"]]) {
        let path = path.as_str().unwrap();
        assert!(mounts.contains(&mount(path, &format!("/accredit/{path}"))), "`{path}`: {mounts:?}");
    }
    assert!(sole(COMPOSE)["volumes"].get("data").is_some());
    let image = read("envoy/broker.Dockerfile");
    assert!(image.contains(r#"CMD ["serve", "--config", "/accredit/broker.yaml"]"#));
    assert!(image.contains("install -d -m 700 -o 65532 -g 65532 /accredit/data"), "a volume takes the owner");
}

#[test]
fn envoy_finds_its_configuration_the_filter_and_the_secret() {
    let service = service("envoy");
    let mounts = mounted(&service);
    assert!(mounts.contains(&mount("envoy.yaml", "/accredit/envoy/envoy.yaml")), "{mounts:?}");
    let secret = sole("envoy/broker.yaml")["proxies"]["gateway"]["secret_file"].as_str().unwrap().to_owned();
    assert!(mounts.contains(&mount(&secret, "/run/secrets/proxy.secret")), "{mounts:?}");
    let start = list(&service["entrypoint"]).pop().unwrap().to_owned();
    assert!(start.contains("ACCREDIT_PROXY_SECRET=$$(cat /run/secrets/proxy.secret)"), "{start}");
    assert!(start.contains("export ACCREDIT_PROXY_SECRET"), "{start}");
    assert!(start.contains("exec envoy --config-path envoy/envoy.yaml"), "{start}");

    let module = Sample::of("envoy/envoy.yaml").plugin["vm_config"]["code"]["local"]["filename"].clone();
    let image = read("envoy/filter.Dockerfile");
    let stage = image.split("\nFROM ").find(|stage| stage.contains(" AS envoy\n")).expect("a stage `envoy`");
    assert!(stage.contains("WORKDIR /accredit\n"));
    assert!(stage.contains(&format!(" /plugin.wasm {}\n", module.as_str().unwrap())), "{stage}");
    assert_eq!(service["depends_on"]["broker"]["condition"], "service_healthy");
}

#[test]
fn every_service_is_built_from_a_dockerfile_that_is_there() {
    let whole = sole(COMPOSE);
    for (name, service) in whole["services"].as_object().unwrap() {
        let build = &service["build"];
        assert_eq!(build["context"], "..", "{name}: the repository");
        let text = read(build["dockerfile"].as_str().unwrap());
        if let Some(target) = build["target"].as_str() {
            assert!(text.contains(&format!(" AS {target}\n")), "{name}: no stage `{target}`");
        }
    }
}
