//! The four ports on loopback.

use std::net::TcpListener;

/// Where the parts listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub gateway: u16,
    pub envoy_admin: u16,
    pub broker: u16,
    pub tools: u16,
}

/// What the shipped files say.
pub(super) const SHIPPED: Ports = Ports { gateway: 10_000, envoy_admin: 10_001, broker: 10_002, tools: 10_003 };

/// The shipped ports, each overridable: `GATEWAY_PORT ENVOY_ADMIN_PORT BROKER_PORT TOOLS_PORT`.
impl Default for Ports {
    fn default() -> Self {
        Self {
            gateway: named("GATEWAY_PORT", SHIPPED.gateway),
            envoy_admin: named("ENVOY_ADMIN_PORT", SHIPPED.envoy_admin),
            broker: named("BROKER_PORT", SHIPPED.broker),
            tools: named("TOOLS_PORT", SHIPPED.tools),
        }
    }
}

impl Ports {
    /// Four ports that nothing listens on now: for tests, which run side by side.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn free() -> Self {
        // All four are held until the last is chosen, so they differ.
        let held = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"));
        let [gateway, envoy_admin, broker, tools] =
            held.each_ref().map(|listener| listener.local_addr().expect("it is bound").port());
        Self { gateway, envoy_admin, broker, tools }
    }

    /// The gateway's base URL.
    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway)
    }

    /// The base URL of Envoy's admin interface.
    pub fn envoy_admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.envoy_admin)
    }

    /// The broker's base URL, which is also its issuer.
    pub fn broker(&self) -> String {
        format!("http://127.0.0.1:{}", self.broker)
    }

    /// `text` of a shipped file with these ports. A number counts as a port only behind
    /// `127.0.0.1:` or `port_value: `; one pass, so that a chosen port is never replaced again.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
            let (number, after) = from.split_at(end);
            let port = out.ends_with("127.0.0.1:") || out.ends_with("port_value: ");
            match number.parse().ok().filter(|_| port).and_then(|number| self.chosen(number)) {
                Some(chosen) => out.push_str(&chosen.to_string()),
                None => out.push_str(number),
            }
            rest = after;
        }
        out + rest
    }

    fn chosen(&self, shipped: u16) -> Option<u16> {
        match shipped {
            n if n == SHIPPED.gateway => Some(self.gateway),
            n if n == SHIPPED.envoy_admin => Some(self.envoy_admin),
            n if n == SHIPPED.broker => Some(self.broker),
            n if n == SHIPPED.tools => Some(self.tools),
            _ => None,
        }
    }
}

fn named(name: &str, shipped: u16) -> u16 {
    let Ok(text) = std::env::var(name) else { return shipped };
    text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, a port number is wanted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_are_replaced_and_only_once() {
        let ports = Ports { gateway: 10_002, envoy_admin: 1, broker: 10_000, tools: 4 };
        let text = "host: 127.0.0.1:10000 port_value: 10002, 127.0.0.1:10003/x, entries: 10000, 127.0.0.1:100021";
        let want = "host: 127.0.0.1:10002 port_value: 10000, 127.0.0.1:4/x, entries: 10000, 127.0.0.1:100021";
        assert_eq!(ports.apply(text), want);
    }
}
