//! Where the logs of containers go that ask for the `awslogs` driver.
//!
//! Docker's own driver writes to CloudWatch Logs and refuses to start a container without AWS
//! credentials. On machines of one's own there is usually neither, and the task definition should
//! run all the same: then logs stay on the machine, in files of bounded size, and the container
//! is labelled with the group and stream that it would have had.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Where logs of the `awslogs` driver go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AwsLogs {
    /// Into files of Docker on this machine, for `docker logs`.
    #[default]
    Local,
    /// To CloudWatch Logs, by Docker's driver and with the daemon's credentials.
    CloudWatch,
}

/// The driver that is replaced.
pub(crate) const DRIVER: &str = "awslogs";
/// Prefix of the labels that keep the driver's options.
const LABEL_PREFIX: &str = "longshore.";
/// Size of one log file, and how many there are of a container: a chatty one fills no disk.
const FILES: (&str, &str) = ("10m", "3");

/// The Docker settings with the `awslogs` driver replaced, and the labels that tell of it; `None`
/// when the container has another driver.
pub(crate) fn kept_locally(host_config: &str) -> Option<(String, BTreeMap<String, String>)> {
    let mut settings: Value = serde_json::from_str(host_config).ok()?;
    let log = settings.get_mut("LogConfig").filter(|log| log["Type"] == DRIVER)?;
    let options = log["Config"].as_object().cloned().unwrap_or_default();
    let labels = options
        .iter()
        .filter(|(name, _)| name.starts_with(DRIVER))
        .filter_map(|(name, value)| Some((format!("{LABEL_PREFIX}{name}"), value.as_str()?.into())))
        .collect();
    let mut kept = json!({ "max-size": FILES.0, "max-file": FILES.1 });
    // These mean the same to every driver.
    for name in ["mode", "max-buffer-size"] {
        if let Some(value) = options.get(name) {
            kept[name] = value.clone();
        }
    }
    *log = json!({ "Type": "json-file", "Config": kept });
    Some((settings.to_string(), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awslogs_becomes_files_with_labels() {
        let settings = json!({
            "NetworkMode": "bridge",
            "LogConfig": {
                "Type": "awslogs",
                "Config": { "awslogs-group": "g", "awslogs-stream": "p/c/t", "mode": "non-blocking" }
            }
        });
        let (settings, labels) = kept_locally(&settings.to_string()).expect("replaced");
        let settings: Value = serde_json::from_str(&settings).expect("JSON");
        assert_eq!(settings["NetworkMode"], "bridge");
        assert_eq!(
            settings["LogConfig"],
            json!({
                "Type": "json-file",
                "Config": { "max-size": "10m", "max-file": "3", "mode": "non-blocking" }
            })
        );
        assert_eq!(labels["longshore.awslogs-group"], "g");
        assert_eq!(labels["longshore.awslogs-stream"], "p/c/t");
        assert_eq!(labels.len(), 2);
    }

    #[test]
    fn other_drivers_stay() {
        assert_eq!(kept_locally(r#"{"LogConfig":{"Type":"json-file"}}"#), None);
        assert_eq!(kept_locally("{}"), None);
        assert_eq!(kept_locally("not JSON"), None);
    }
}
