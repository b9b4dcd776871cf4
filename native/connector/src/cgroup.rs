//! Which container a process is in: told by the cgroups that kubelet and the container runtime have put it into.
//!
//!     systemd    /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope
//!     cgroupfs   /kubepods/burstable/podUID/ID
//!     from a cgroup namespace of our own what we have in common is `..`:   /../../podUID/ID
//!
//! Read from the left, and only where kubelet's cgroups can lie: what a container names its own cgroups, and what a user
//! of the host does below the cgroups that systemd lends to users, is further right or elsewhere.

use serde::{Deserialize, Serialize};

/// A container of a pod. Both names are of this node's runtime, not the tenant's to choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub pod_uid: String,
    pub container_id: String,
}

/// Reads /proc/PID/cgroup: one line for version 2, one for each hierarchy of version 1. Hierarchies that kubelet does
/// not use are passed over; of the others all must agree.
pub fn container_of(file: &str) -> Option<Container> {
    let paths = file.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut found = paths.filter_map(container_at);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

fn container_at(path: &str) -> Option<Container> {
    let mut components = path.strip_prefix('/')?.split('/').peekable();
    let mut below_kubelet = false;
    while components.next_if(|component| *component == "..").is_some() {
        below_kubelet = true;
    }
    while let Some(component) = components.next() {
        if let Some((pod, rest)) = pod_of(component, below_kubelet) {
            let container = rest.or_else(|| components.next())?;
            return Some(Container {
                pod_uid: pod,
                container_id: container_id(container)?,
            });
        }
        match component.strip_suffix(".slice").unwrap_or(component) {
            "kubelet" => {}
            "kubepods" | "kubelet-kubepods" => below_kubelet = true,
            "burstable" | "besteffort" if below_kubelet => {}
            name if is_quality(name) && below_kubelet => {}
            _ => return None,
        }
    }
    None
}

/// The slices of the qualities of service.
fn is_quality(name: &str) -> bool {
    let name = name.strip_prefix("kubelet-").unwrap_or(name);
    matches!(name, "kubepods-burstable" | "kubepods-besteffort")
}

/// The pod's UID, and the container where it stands in the same component: a runtime with the cgroupfs driver under a
/// kubelet with the systemd driver makes `kubepods-podUID.slice:cri-containerd:ID` of it.
fn pod_of(component: &str, below_kubelet: bool) -> Option<(String, Option<&str>)> {
    if let Some(uid) = component.strip_prefix("pod").filter(|_| below_kubelet) {
        return Some((pod_uid(uid)?, None));
    }
    let (name, rest) = component.split_once(".slice")?;
    let name = name.strip_prefix("kubelet-").unwrap_or(name);
    let name = name.strip_prefix("kubepods-")?;
    let name = name
        .strip_prefix("burstable-")
        .or_else(|| name.strip_prefix("besteffort-"))
        .unwrap_or(name);
    // A name of systemd has no hyphens of its own.
    let uid = pod_uid(&name.strip_prefix("pod")?.replace('_', "-"))?;
    match rest {
        "" => below_kubelet.then_some((uid, None)),
        _ => Some((uid, Some(rest.strip_prefix(':')?))),
    }
}

/// A UUID; a static pod's is the hash of its file.
fn pod_uid(text: &str) -> Option<String> {
    let is_uid = (32..=36).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then(|| text.to_owned())
}

/// 64 hexadecimal digits, with the runtime's name before them or not.
fn container_id(component: &str) -> Option<String> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let prefixes = [
        "cri-containerd-",
        "cri-containerd:",
        "crio-",
        "crio:",
        "docker-",
    ];
    let id = prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
