//! The ticket file, as `aquifer ticket` prints it: the ticket itself, where it is honoured, and by which CA the gateway
//! there is known.

use aquifer_control::refusal::Refusal;
use aquifer_control::ticket::{Ticket, peek};
use aquifer_control::tls::node_name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;

const API_VERSION: &str = "aquifer.dev/v1alpha1";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Endpoint {
    node: String,
    address: String,
}

/// The file's form.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    api_version: String,
    kind: String,
    metadata: Metadata,
    ca: String,
    endpoints: Vec<Endpoint>,
    ticket: String,
}

/// A ticket file that was read.
#[derive(Debug, Clone)]
pub struct TicketFile {
    /// The claim as `namespace/name`.
    pub claim: String,
    pub ca_pem: String,
    /// The node that all endpoints lead to.
    pub node: String,
    /// In the order in which they are tried: vsock first, the others as the file has them.
    pub addresses: Vec<Address>,
    /// The ticket as it is sent.
    pub compact: String,
    /// What it says; its signature is the gateway's to check.
    pub ticket: Ticket,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("TicketFileInvalid", message)
}

impl TicketFile {
    /// Reads the bytes of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| invalid(format!("not JSON as `aquifer ticket` prints it: {error}")))?;
        Self::from_value(value)
    }

    /// By which command its owner gets another one, with these options.
    pub fn another(&self, options: &str) -> String {
        let name = &self.ticket.payload.claim.name;
        format!(
            "`aquifer ticket {name}{options}`, of a cluster `kubectl aquifer ticket {name}{options}`"
        )
    }

    /// Reads the same as an object.
    pub fn from_value(value: Value) -> Result<Self, Refusal> {
        let form: Form =
            serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
        if form.api_version != API_VERSION || form.kind != "Ticket" {
            let message = format!(
                "apiVersion and kind must be {API_VERSION} and Ticket, not {} and {}",
                form.api_version, form.kind
            );
            return Err(invalid(message));
        }
        let node = form
            .endpoints
            .first()
            .ok_or_else(|| invalid("endpoints: at least one is needed"))?
            .node
            .clone();
        node_name(&node).map_err(|error| invalid(format!("endpoints[0].node: {error}")))?;
        let mut addresses = Vec::new();
        for (index, endpoint) in form.endpoints.iter().enumerate() {
            if endpoint.node != node {
                return Err(invalid(format!(
                    "endpoints[{index}].node: all must be of one node, {node:?}"
                )));
            }
            addresses.push(Address::parse(&endpoint.address).ok_or_else(|| {
                let got = &endpoint.address;
                invalid(format!(
                    "endpoints[{index}].address: host:port, vsock:CID:PORT or unix:/path is wanted, not {got:?}"
                ))
            })?);
        }
        addresses.sort_by_key(|address| !address.is_vsock());
        let ticket = peek(&form.ticket)
            .map_err(|refusal| invalid(format!("ticket: {}", refusal.message)))?;
        Ok(Self {
            claim: format!("{}/{}", form.metadata.namespace, form.metadata.name),
            ca_pem: form.ca,
            node,
            addresses,
            compact: form.ticket,
            ticket,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A ticket with a signature that nobody checks here.
    fn file() -> Value {
        // {"alg":"EdDSA"} . payload . zeros
        let payload = concat!(
            "eyJqdGkiOiJqIiwiaWF0IjoxLCJuYmYiOjEsImV4cCI6MiwiZXBvY2giOjEsImNsYWltIjp7Im5hbWVzcGFjZSI6ImEiLCJuYW1lIjoi",
            "YiIsInVpZCI6ImMifSwidmdwdXMiOlt7ImluZGV4IjowLCJncHUiOiJHUFUtMSIsIm1lbW9yeUJ5dGVzIjoxLCJjb21wdXRlUGVyY2Vu",
            "dCI6MX1dLCJtYXhTZXNzaW9ucyI6MX0"
        );
        json!({
            "apiVersion": API_VERSION, "kind": "Ticket", "metadata": {"name": "b", "namespace": "a"},
            "ca": "pem", "ticket": format!("e30.{payload}.AAAA"),
            "endpoints": [{"node": "gpu-1", "address": "10.0.0.1:9960"}, {"node": "gpu-1", "address": "unix:/run/g.sock"},
                {"node": "gpu-1", "address": "vsock:2:9960"}],
        })
    }

    #[test]
    fn a_good_file_is_read() {
        let read = TicketFile::from_value(file()).unwrap();
        assert_eq!((read.claim.as_str(), read.node.as_str()), ("a/b", "gpu-1"));
        assert_eq!(
            read.addresses,
            [
                Address::Vsock(2, 9960),
                Address::Tcp("10.0.0.1:9960".into()),
                Address::Unix("/run/g.sock".into())
            ]
        );
        assert_eq!(read.ticket.payload.exp, 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pointer, value, want) in [
            ("/kind", json!("Secret"), "kind must be"),
            ("/endpoints", json!([]), "endpoints: at least one"),
            ("/endpoints/1/node", json!("gpu-2"), "endpoints[1].node"),
            ("/endpoints/0/node", json!("no name"), "endpoints[0].node"),
            (
                "/endpoints/1/address",
                json!("unix:relative"),
                "endpoints[1].address",
            ),
            (
                "/endpoints/0/address",
                json!("host"),
                "endpoints[0].address",
            ),
            (
                "/ticket",
                json!("a.b"),
                "ticket: the ticket is not well-formed",
            ),
            ("/metadata", json!({"name": "b"}), "namespace"),
        ] {
            let mut wrong = file();
            *wrong.pointer_mut(pointer).unwrap() = value;
            let refusal = TicketFile::from_value(wrong).unwrap_err();
            assert!(refusal.message.contains(want), "{pointer}: {refusal}");
        }
        assert!(
            TicketFile::parse(b"apiVersion: x\n")
                .unwrap_err()
                .message
                .contains("not JSON")
        );
    }
}
