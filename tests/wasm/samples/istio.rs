//! The filter and the broker in an Istio mesh.

use super::*;

fn patch<'a>(filter: &'a Value, applies: &str) -> &'a Value {
    let patches = filter["spec"]["configPatches"].as_array().unwrap();
    let mut found = patches.iter().filter(|patch| patch["applyTo"] == applies);
    let patch = found.next().unwrap_or_else(|| panic!("no patch of {applies}"));
    assert!(found.next().is_none(), "one patch of {applies}");
    patch
}

/// The text of a key of the broker's `ConfigMap`.
fn config(key: &str) -> Value {
    let all = documents("envoy/istio/broker.yaml");
    let map = all.iter().find(|one| one["kind"] == "ConfigMap").unwrap();
    yaml(map["data"][key].as_str().unwrap_or_else(|| panic!("the ConfigMap holds {key}")))
}

fn clusters() -> BTreeSet<String> {
    let policy = Sample::of(ISTIO).policy();
    under(&policy, "cluster").into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_filter_comes_right_before_the_router_of_the_gateway() {
    let filter = sole(ISTIO);
    assert_eq!(filter["apiVersion"], "networking.istio.io/v1alpha3");
    assert_eq!(filter["kind"], "EnvoyFilter");
    assert_eq!(filter["spec"]["workloadSelector"]["labels"]["istio"], "ingressgateway");
    for applies in ["LISTENER", "NETWORK_FILTER", "HTTP_FILTER"] {
        assert_eq!(patch(&filter, applies)["match"]["context"], "GATEWAY", "{applies}");
    }
    let manager = "envoy.filters.network.http_connection_manager";
    let place = &patch(&filter, "HTTP_FILTER")["match"]["listener"]["filterChain"]["filter"];
    assert_eq!(place["name"], manager);
    assert_eq!(place["subFilter"]["name"], "envoy.filters.http.router");
    assert_eq!(patch(&filter, "HTTP_FILTER")["patch"]["operation"], "INSERT_BEFORE");
    assert_eq!(patch(&filter, "NETWORK_FILTER")["match"]["listener"]["filterChain"]["filter"]["name"], manager);
    for merged in ["LISTENER", "NETWORK_FILTER"] {
        assert_eq!(patch(&filter, merged)["patch"]["operation"], "MERGE", "{merged}");
    }
}

#[test]
fn every_cluster_is_a_service_of_the_mesh_reached_over_tls() {
    let all = documents("envoy/istio/broker.yaml");
    let clusters = clusters();
    assert!(!clusters.is_empty());
    for cluster in clusters {
        let parts: Vec<_> = cluster.split('|').collect();
        let ["outbound", port, "", host] = parts[..] else { panic!("`{cluster}` is no name of Istio's") };
        let port: u64 = port.parse().unwrap();
        let offered = all.iter().any(|one| match one["kind"].as_str() {
            Some("Service") => fqdn(one) == host && ports(one, "port").contains(&port),
            Some("ServiceEntry") => list(&one["spec"]["hosts"]).contains(&host) && ports(one, "number").contains(&port),
            _ => false,
        });
        assert!(offered, "no service for `{cluster}`");
        let rule = all.iter().find(|one| one["kind"] == "DestinationRule" && one["spec"]["host"] == host);
        let tls = &rule.unwrap_or_else(|| panic!("no rule for `{host}`"))["spec"]["trafficPolicy"]["tls"];
        let within = host.ends_with(".svc.cluster.local");
        assert_eq!(tls["mode"], if within { "ISTIO_MUTUAL" } else { "SIMPLE" }, "`{host}`");
        // Without these Envoy would take any certificate, or one for any name.
        assert!(within || tls["caCertificates"].is_string() && list(&tls["subjectAltNames"]) == [host], "`{host}`");
    }
}

fn fqdn(service: &Value) -> String {
    let text = |name: &str| service["metadata"][name].as_str().unwrap();
    format!("{}.{}.svc.cluster.local", text("name"), text("namespace"))
}

fn ports(service: &Value, name: &str) -> Vec<u64> {
    service["spec"]["ports"].as_array().unwrap().iter().map(|port| port[name].as_u64().unwrap()).collect()
}

#[test]
fn the_broker_judges_by_the_policy_of_the_gateway() {
    assert_eq!(config("policy.yaml"), Sample::of(ISTIO).policy());
}

#[test]
fn the_broker_is_where_the_policy_says_and_behind_its_sidecar_only() {
    let (broker, policy) = (config("broker.yaml"), Sample::of(ISTIO).policy());
    let all = documents("envoy/istio/broker.yaml");
    let kind = |kind: &str| all.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));

    let authority = policy["broker"]["authority"].as_str().unwrap();
    assert_eq!(broker["issuer"], format!("http://{authority}"));
    let (host, port) = authority.split_once(':').unwrap();
    assert_eq!(policy["broker"]["cluster"], format!("outbound|{port}||{host}"));
    assert_eq!(fqdn(kind("Service")), host);

    let listen = broker["listen"].as_str().unwrap();
    assert_eq!(listen, format!("127.0.0.1:{port}"));
    assert!(broker.get("insecure").is_none());
    let ingress = &kind("Sidecar")["spec"]["ingress"];
    assert_eq!(ingress[0]["port"]["number"].to_string(), port);
    assert_eq!(ingress[0]["defaultEndpoint"], listen);
    assert_eq!(kind("PeerAuthentication")["spec"]["mtls"]["mode"], "STRICT");

    let pod = &kind("Deployment")["spec"]["template"];
    for (selector, of) in [
        (&kind("Service")["spec"]["selector"], "Service"),
        (&kind("Sidecar")["spec"]["workloadSelector"]["labels"], "Sidecar"),
        (&kind("PeerAuthentication")["spec"]["selector"]["matchLabels"], "PeerAuthentication"),
        (&kind("Deployment")["spec"]["selector"]["matchLabels"], "Deployment"),
    ] {
        assert_eq!(selector, &pod["metadata"]["labels"], "{of}");
    }

    let container = &pod["spec"]["containers"][0];
    let mounts: Vec<_> = under(container, "mountPath").into_iter().map(|path| path.as_str().unwrap()).collect();
    let paths = under(&broker, "secret_file").into_iter().chain(under(&broker, "token_file"));
    for path in paths.chain([&broker["data"], &container["args"][2]]) {
        let path = path.as_str().unwrap();
        assert!(mounts.iter().any(|mount| path.starts_with(&format!("{mount}/"))), "`{path}` is mounted");
    }
    assert_eq!(list(&container["args"])[..2], ["serve", "--config"]);
    let client = policy["broker"]["client"]["id"].as_str().unwrap();
    assert!(broker["proxies"].get(client).is_some(), "the broker knows `{client}`");
}
