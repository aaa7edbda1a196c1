//! How a process of ours joins a zenoh network: endpoints, certificates, and who may do what.
//!
//! Knows: zenoh's configuration. Does not know: what is published. Everything that is not said here
//! is forbidden: the default permission is deny, scouting is off, and only TLS with the hospital's
//! certificates is spoken, but on this machine's own loopback.
//!
//! Rules are by common name, which is the name that `trust issue --name` gave. They are fixed when
//! the process starts: zenoh cannot change them later, so a revoked reader is taken out of the list
//! and the process started again. zenoh looks at no revocation list.

use super::is_plain;
use crate::ros2;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use zenoh::Config;

/// How to join.
#[derive(Args, Clone, Debug, Default)]
pub struct Net {
    /// This process's identity folder, from `longhand-robot-agent trust issue --role gateway` (a
    /// reader's may be --role observer). Without one only this machine is spoken to.
    #[arg(long)]
    pub identity: Option<PathBuf>,
    /// client: through a router. peer: with others directly. router: for others, too.
    #[arg(long, value_enum, default_value = "peer")]
    pub mode: Mode,
    /// Where to be reached: tls/0.0.0.0:7447, or tcp/127.0.0.1:7447 without --identity.
    #[arg(long, value_name = "ENDPOINT")]
    pub listen: Vec<String>,
    /// Whom to reach: tls/HOST:7447, or tcp/127.0.0.1:7447 without --identity.
    #[arg(long, value_name = "ENDPOINT")]
    pub connect: Vec<String>,
    /// Let a server prove only that it is one of the hospital's (a gateway or a robot), not that it
    /// has the name by which it was reached. For a network without names.
    #[arg(long)]
    pub any_host: bool,
    /// A zenoh configuration (JSON5) for all that is not said here. Needs --identity; who may do
    /// what, TLS and scouting are never taken from it.
    #[arg(long, value_name = "FILE", requires = "identity")]
    pub config: Option<PathBuf>,
}

/// zenoh's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Through one router.
    Client,
    /// With others directly.
    #[default]
    Peer,
    /// For others, too.
    Router,
}

/// Who may do what at this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It publishes; these may read, routers among them. Nobody may publish to it.
    Outward {
        /// Common names.
        readers: Vec<String>,
        /// What it publishes below.
        keys: Vec<String>,
    },
    /// It only reads.
    Inward,
    /// It passes on.
    Router {
        /// Who may publish and answer, and below which keys.
        gateways: Vec<Gateway>,
        /// Who may read.
        readers: Vec<String>,
        /// Other routers, which may do both.
        routers: Vec<String>,
        /// What is passed on.
        keys: Vec<String>,
    },
}

/// A gateway as its router knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The name in its certificate.
    pub name: String,
    /// `hospital/room/robot`: what it may speak for.
    pub place: String,
    /// The ROS 2 domain that is this robot's; `None`: it may speak in none.
    pub domain: Option<u32>,
}

impl Gateway {
    /// All that it may say.
    fn keys(&self) -> Vec<String> {
        let ros2 = self.domain.into_iter().flat_map(ros2::keys);
        [format!("longhand/{}/**", self.place)].into_iter().chain(ros2).collect()
    }
}

impl FromStr for Gateway {
    type Err = String;

    /// `NAME=HOSPITAL/ROOM/ROBOT[@DOMAIN]`; a part of the place may be `*`.
    fn from_str(text: &str) -> Result<Self, String> {
        let words = "must be NAME=HOSPITAL/ROOM/ROBOT, as in or3-gateway=general/or3/davinci: whom \
                     its certificate names and which robot it speaks for, * for any; with @DOMAIN \
                     behind it, also in that ROS 2 domain";
        let (name, place) = text.split_once('=').unwrap_or((text, ""));
        let (place, domain) = match place.split_once('@') {
            Some((place, domain)) => (place, Some(domain.parse().map_err(|_error| words)?)),
            None => (place, None),
        };
        let parts: Vec<&str> = place.split('/').collect();
        let is_part = |part: &&str| *part == "*" || is_plain(part);
        if !is_plain(name) || parts.len() != 3 || !parts.iter().all(is_part) {
            return Err(words.to_owned());
        }
        Ok(Self { name: name.to_owned(), place: place.to_owned(), domain })
    }
}

/// The configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// An endpoint that would leave the machine without a certificate, or with one unencrypted.
    #[error("{endpoint} is not allowed: {why}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What to do.
        why: &'static str,
    },
    /// zenoh does not take it.
    #[error("zenoh refuses the configuration: {0}")]
    Zenoh(#[from] zenoh::Error),
}

impl Net {
    /// zenoh's configuration.
    ///
    /// Errors: [`NetError`] says what to change.
    pub fn config(&self, access: &Access) -> Result<Config, NetError> {
        for endpoint in self.listen.iter().chain(&self.connect) {
            self.allows(endpoint)?;
        }
        let mut config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => Config::default(),
        };
        for (key, value) in self.settings(access) {
            config.insert_json5(key, &value.to_string())?;
        }
        Ok(config)
    }

    /// The same as a file for a zenoh router that is not ours (`zenohd --config FILE`).
    ///
    /// Errors: as [`Net::config`]; a file of zenoh's cannot be mixed in.
    pub fn written(&self, access: &Access) -> Result<Value, NetError> {
        self.config(access)?;
        let mut all = json!({});
        for (key, value) in self.settings(access) {
            let path = format!("/{key}");
            let mut made = String::new();
            for part in key.split('/') {
                let inside = if made.is_empty() { Some(&mut all) } else { all.pointer_mut(&made) };
                if let Some(inside) = inside.and_then(Value::as_object_mut) {
                    inside.entry(part).or_insert_with(|| json!({}));
                }
                made = format!("{made}/{part}");
            }
            if let Some(place) = all.pointer_mut(&path) {
                *place = value;
            }
        }
        Ok(all)
    }

    fn allows(&self, endpoint: &str) -> Result<(), NetError> {
        let local = ["tcp/127.0.0.1:", "tcp/[::1]:", "tcp/localhost:"];
        let why = match (&self.identity, endpoint.starts_with("tls/")) {
            (Some(_), true) => return Ok(()),
            (Some(_), false) => "with --identity only tls/HOST:PORT is spoken",
            (None, true) => "TLS needs --identity",
            (None, false) if local.iter().any(|host| endpoint.starts_with(host)) => return Ok(()),
            (None, false) => "without --identity only tcp/127.0.0.1:PORT; give --identity DIR",
        };
        Err(NetError::Endpoint { endpoint: endpoint.to_owned(), why })
    }

    fn settings(&self, access: &Access) -> Vec<(&'static str, Value)> {
        let mode = match self.mode {
            Mode::Client => "client",
            Mode::Peer => "peer",
            Mode::Router => "router",
        };
        let protocol = if self.identity.is_some() { "tls" } else { "tcp" };
        let mut settings = vec![
            ("mode", json!(mode)),
            // Whoever is not there yet is waited for, and does not hold up the rest.
            ("connect/timeout_ms", json!(-1)),
            ("connect/exit_on_failure", json!(false)),
            ("scouting/multicast/enabled", json!(false)),
            ("scouting/gossip/enabled", json!(self.mode == Mode::Router)),
            ("adminspace/enabled", json!(false)),
            ("transport/shared_memory/enabled", json!(false)),
            ("transport/link/protocols", json!([protocol])),
        ];
        // Said even where it is empty: zenoh would listen everywhere.
        if !self.listen.is_empty() || self.config.is_none() {
            settings.push(("listen/endpoints", json!(self.listen)));
        }
        if !self.connect.is_empty() || self.config.is_none() {
            settings.push(("connect/endpoints", json!(self.connect)));
        }
        if let Some(folder) = &self.identity {
            let file = |name: &str| json!(folder.join(name).display().to_string());
            let tls = json!({
                "root_ca_certificate": file("ca.pem"),
                "listen_certificate": file("identity.pem"),
                "listen_private_key": file("identity.key"),
                "connect_certificate": file("identity.pem"),
                "connect_private_key": file("identity.key"),
                "enable_mtls": true,
                "verify_name_on_connect": !self.any_host,
                "close_link_on_expiration": true,
            });
            settings.push(("transport/link/tls", tls));
        }
        settings.push(("access_control", rules(access, self.identity.is_some())));
        settings
    }
}

const ASKS: [&str; 4] =
    ["declare_subscriber", "query", "declare_liveliness_subscriber", "liveliness_query"];
const SAYS: [&str; 5] = ["put", "delete", "reply", "declare_queryable", "liveliness_token"];

/// zenoh's `access_control`. Without certificates there are no names: then the direction alone is
/// held, for everybody on this machine.
fn rules(access: &Access, named: bool) -> Value {
    let (mut rules, mut subjects, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    let mut allow = |id: &str, who: &[String], directions: &[(&str, &[&str])], keys: &[String]| {
        // A subject without names would be everybody.
        if named && who.is_empty() || keys.is_empty() {
            return;
        }
        let of = |flow: &str| format!("{id} {flow}");
        for (flow, messages) in directions {
            rules.push(json!({
                "id": of(flow), "permission": "allow", "flows": [flow], "messages": messages,
                "key_exprs": keys,
            }));
        }
        let names = if named { json!({ "cert_common_names": who }) } else { json!({}) };
        let mut subject = names;
        if let Some(subject) = subject.as_object_mut() {
            subject.insert("id".to_owned(), json!(id));
        }
        subjects.push(subject);
        let ids: Vec<String> = directions.iter().map(|(flow, _)| of(flow)).collect();
        policies.push(json!({ "rules": ids, "subjects": [id] }));
    };
    let all = [&ASKS[..], &SAYS[..]].concat();
    match access {
        Access::Outward { readers, keys } => {
            allow("readers", readers, &[("ingress", &ASKS), ("egress", &SAYS)], keys);
        }
        // What comes was allowed by whoever passed it on; nothing is said but questions.
        Access::Inward => {
            return json!({ "enabled": false });
        }
        Access::Router { gateways, readers, routers, keys } => {
            // What each says is its own robots'; what it is asked may be about all of them.
            let mut own: BTreeMap<&String, Vec<String>> = BTreeMap::new();
            for gateway in gateways {
                own.entry(&gateway.name).or_default().extend(gateway.keys());
            }
            for (name, says) in own {
                let who = [name.clone()];
                allow(&format!("{name} says"), &who, &[("ingress", &SAYS)], &says);
                allow(&format!("{name} is asked"), &who, &[("egress", &ASKS)], keys);
            }
            allow("readers", readers, &[("ingress", &ASKS), ("egress", &SAYS)], keys);
            allow("routers", routers, &[("ingress", &all), ("egress", &all)], keys);
        }
    }
    json!({
        "enabled": true, "default_permission": "deny",
        "rules": rules, "subjects": subjects, "policies": policies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn outward(readers: &[&str]) -> Access {
        Access::Outward { readers: names(readers), keys: names(&["longhand/**"]) }
    }

    #[test]
    fn nothing_leaves_this_machine_without_a_certificate() {
        let with = |endpoint: &str, identity: Option<&str>| Net {
            listen: names(&[endpoint]),
            identity: identity.map(PathBuf::from),
            ..Net::default()
        };
        for (endpoint, identity, fine) in [
            ("tcp/127.0.0.1:7447", None, true),
            ("tcp/[::1]:7447", None, true),
            ("tcp/0.0.0.0:7447", None, false),
            ("tcp/127.0.0.1.example.com:7447", None, false),
            ("udp/127.0.0.1:7447", None, false),
            ("tls/127.0.0.1:7447", None, false),
            ("tls/0.0.0.0:7447", Some("trust/or3"), true),
            ("tcp/127.0.0.1:7447", Some("trust/or3"), false),
        ] {
            let made = with(endpoint, identity).config(&outward(&["ann"]));
            assert_eq!(made.is_ok(), fine, "{endpoint} {identity:?}: {:?}", made.err());
        }
    }

    #[test]
    fn what_is_written_down_is_what_zenoh_is_given() {
        let net = Net { listen: names(&["tcp/127.0.0.1:7447"]), ..Net::default() };
        let written = net.written(&outward(&["ann"])).unwrap();
        assert_eq!(written["listen"]["endpoints"], json!(["tcp/127.0.0.1:7447"]));
        assert_eq!(written["scouting"]["multicast"]["enabled"], false);
        assert_eq!(written["access_control"]["default_permission"], "deny");
        assert!(Config::from_json5(&written.to_string()).is_ok());
    }

    #[test]
    fn a_gateway_speaks_for_the_robots_that_it_is_named_with_and_no_other() {
        let gateways: Vec<Gateway> = ["host=general/or3/a@3", "host=general/or3/b", "or4=x/*/c"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let keys = names(&["longhand/**", "3/**", "4/**"]);
        let (readers, routers) = (Vec::new(), Vec::new());
        let access = Access::Router { gateways, readers, routers, keys };
        let net = Net { identity: Some(PathBuf::from("trust/r")), ..Net::default() };
        assert!(net.config(&access).is_ok());
        let made = rules(&access, true);
        let all = made["rules"].as_array().unwrap();
        let of = |id: &str| {
            // zenoh takes no rule twice.
            let found: Vec<_> = all.iter().filter(|rule| rule["id"] == id).collect();
            assert_eq!(found.len(), 1, "{id}");
            found[0]["key_exprs"].clone()
        };
        let own =
            ["longhand/general/or3/a/**", "3/**", "@ros2_lv/3/**", "longhand/general/or3/b/**"];
        assert_eq!(of("host says ingress"), json!(own));
        assert_eq!(of("or4 says ingress"), json!(["longhand/x/*/c/**"]));
        for wrong in ["host", "host=", "h=a/b", "h=a/b/c/d", "=a/b/c", "h=a/b/c@x", "h=a/**/c"] {
            assert!(wrong.parse::<Gateway>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_is_not_named_has_no_rule_and_a_reader_none_to_publish() {
        let nobody = rules(&outward(&[]), true);
        assert_eq!(nobody["default_permission"], "deny");
        assert_eq!(nobody["subjects"], json!([]), "an empty subject would be everybody");
        let some = rules(&outward(&["ann"]), true);
        assert_eq!(some["subjects"], json!([{ "id": "readers", "cert_common_names": ["ann"] }]));
        for rule in some["rules"].as_array().unwrap() {
            let puts = rule["messages"].as_array().unwrap().contains(&json!("put"));
            assert!(!puts || rule["flows"] == json!(["egress"]), "{rule}");
        }
    }
}
