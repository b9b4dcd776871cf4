//! `aquifer-connector oci DEVICE CONFIG`: the edits of a CDI device in the configuration of a bundle, for runtimes that know no CDI.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::cdi::{edits_of, replace};

/// Adds to `file` what the device brings. What is there already, the same, stays as it is: twice is as good as once.
pub fn run(directory: &Path, device: &str, file: &Path) -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let edits = edits_of(directory, device)?;
    let bytes = std::fs::read(file).map_err(|error| named(&error))?;
    let mode = std::fs::metadata(file).map_err(|error| named(&error))?;
    let mut config: Value = serde_json::from_slice(&bytes).map_err(|error| named(&error))?;
    if !config["root"].is_object() {
        return Err(named(
            &"is not the configuration of a bundle: it has no root",
        ));
    }
    apply(&mut config, &edits).map_err(|error| named(&error))?;
    replace(file, &config, mode.permissions().mode() & 0o777).map_err(|error| named(&error))
}

fn apply(config: &mut Value, edits: &Value) -> Result<(), String> {
    for mount in edits["mounts"].as_array().into_iter().flatten() {
        let wanted = json!({
            "destination": mount["containerPath"], "type": "bind", "source": mount["hostPath"],
            "options": mount["options"],
        });
        let mounts = list(&mut config["mounts"])?;
        match mounts
            .iter()
            .find(|one| one["destination"] == wanted["destination"])
        {
            None => mounts.push(wanted),
            Some(there) if *there == wanted => {}
            Some(there) => {
                return Err(format!(
                    "something else is mounted at {}",
                    there["destination"]
                ));
            }
        }
    }
    for hook in edits["hooks"].as_array().into_iter().flatten() {
        let name = hook["hookName"].as_str().unwrap_or_default();
        let wanted =
            json!({"path": hook["path"], "args": hook["args"], "timeout": hook["timeout"]});
        let hooks = list(&mut config["hooks"][name])?;
        if !hooks.contains(&wanted) {
            hooks.push(wanted);
        }
    }
    Ok(())
}

fn list(value: &mut Value) -> Result<&mut Vec<Value>, String> {
    if value.is_null() {
        *value = json!([]);
    }
    value
        .as_array_mut()
        .ok_or_else(|| "mounts and hooks must be lists".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdi::Layout;

    fn edits() -> Value {
        let layout = Layout::installed(Path::new("/opt"), "/run/s".into(), "/run/c.sock".into());
        let specification = layout.specification("trainer", &["small".into()]);
        specification["devices"][1]["containerEdits"].clone()
    }

    #[test]
    fn a_bundle_gets_what_the_device_has_once() {
        let mut config = json!({"root": {}, "mounts": [{"destination": "/proc", "type": "proc"}]});
        apply(&mut config, &edits()).unwrap();
        let once = config.clone();
        apply(&mut config, &edits()).unwrap();
        assert_eq!(config, once);
        assert_eq!(config["mounts"].as_array().unwrap().len(), 8);
        assert_eq!(
            config["mounts"][1],
            json!({
                "destination": "/run/aquifer", "type": "bind", "source": "/run/s",
                "options": ["ro", "nosuid", "nodev", "bind"],
            })
        );
        let hook = &config["hooks"]["createRuntime"][0];
        assert_eq!(
            hook["args"],
            json!([
                "aquifer-connector",
                "hook",
                "--control",
                "/run/c.sock",
                "--share",
                "small"
            ])
        );
        assert_eq!(
            config["hooks"]["createContainer"][0]["path"],
            "/opt/libexec/aquifer/container-hook"
        );
    }

    #[test]
    fn what_the_user_has_mounted_is_not_replaced() {
        let mut config = json!({"mounts": [{"destination": "/run/aquifer", "source": "/mine"}]});
        assert!(
            apply(&mut config, &edits())
                .unwrap_err()
                .contains("/run/aquifer")
        );
    }
}
