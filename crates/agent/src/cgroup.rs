//! Task-level limits: a parent in the control group tree that all containers of a task share.
//!
//! Needs root and a machine whose tree the runtime and the agent both see; where that is not so,
//! tasks run without a common limit, as with the ECS agent. Containers keep their own limits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use longshore_wire::agent::Task;

use crate::record::id_of;
use crate::runtime::Cgroups;

const ROOT: &str = "/sys/fs/cgroup";
const PERIOD_US: u64 = 100_000;
const MIB: u64 = 1 << 20;

/// Sets limits of tasks, in the way of the machine.
#[derive(Debug)]
pub(crate) struct TaskLimits {
    kind: Option<Cgroups>,
    /// Slices that systemd makes with their first container; limits are written after that.
    late: Mutex<BTreeMap<String, Limits>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    quota_us: Option<u64>,
    memory_bytes: Option<u64>,
}

impl Limits {
    fn of(task: &Task) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a number of CPUs times a period is small, and was checked to be positive"
        )]
        let quota_us = task.cpu.filter(|cpu| *cpu > 0.0).map(|cpu| (cpu * PERIOD_US as f64) as u64);
        let memory_bytes = task.memory.filter(|mib| *mib > 0).map(|mib| mib.saturating_mul(MIB));
        (quota_us.is_some() || memory_bytes.is_some()).then_some(Self { quota_us, memory_bytes })
    }
}

impl TaskLimits {
    /// Limits in the way of `kind`; without one, none are set.
    pub(crate) fn new(kind: Option<Cgroups>) -> Self {
        let kind = kind.filter(|kind| {
            let probe = match kind {
                Cgroups::V1 => prepare_v1(),
                Cgroups::V2 => prepare_v2(),
                Cgroups::V2Systemd => Ok(()),
            };
            if let Err(error) = &probe {
                tracing::info!(%error, "task-level limits cannot be set on this machine");
            }
            probe.is_ok()
        });
        Self { kind, late: Mutex::default() }
    }

    /// The parent for containers of a task that has limits, made if need be.
    pub(crate) fn parent(&self, task: &Task) -> Option<String> {
        let (kind, limits) = (self.kind?, Limits::of(task)?);
        let id = id_of(&task.arn);
        let made = match kind {
            Cgroups::V1 => make_v1(id, limits),
            Cgroups::V2 => make_v2(id, limits),
            Cgroups::V2Systemd => {
                let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
                late.insert(task.arn.clone(), limits);
                return Some(slice(id));
            }
        };
        match made {
            Ok(()) => Some(format!("/ecs/{id}")),
            Err(error) => {
                tracing::warn!(task = task.arn, %error, "task-level limits cannot be set");
                None
            }
        }
    }

    /// Writes the limits of a slice that exists now.
    pub(crate) fn apply_late(&self, arn: &str) {
        if self.kind != Some(Cgroups::V2Systemd) {
            return;
        }
        let limits = self.late.lock().unwrap_or_else(PoisonError::into_inner).remove(arn);
        let Some(limits) = limits else { return };
        let dir = Path::new(ROOT).join("ecstasks.slice").join(slice(id_of(arn)));
        if let Err(error) = write_v2(&dir, limits) {
            tracing::warn!(task = arn, %error, "task-level limits cannot be set");
        }
    }

    /// Removes the parent of a task whose containers are gone.
    pub(crate) fn remove(&self, task: &Task) {
        if Limits::of(task).is_none() {
            return;
        }
        let id = id_of(&task.arn);
        let dirs: Vec<PathBuf> = match self.kind {
            Some(Cgroups::V1) => v1_dirs(id),
            Some(Cgroups::V2) => vec![Path::new(ROOT).join("ecs").join(id)],
            // systemd removes an empty slice by itself.
            Some(Cgroups::V2Systemd) | None => return,
        };
        for dir in dirs {
            match fs::remove_dir(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::debug!(dir = %dir.display(), %error, "a control group stays behind");
                }
                _ => {}
            }
        }
    }
}

fn slice(id: &str) -> String {
    format!("ecstasks-{id}.slice")
}

fn v1_dirs(id: &str) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Ok(controllers) = fs::read_dir(ROOT) {
        for controller in controllers.flatten() {
            dirs.push(controller.path().join("ecs").join(id));
        }
    }
    dirs.sort();
    dirs
}

fn prepare_v1() -> io::Result<()> {
    for controller in ["cpu", "memory"] {
        let dir = Path::new(ROOT).join(controller);
        fs::metadata(dir.join("cgroup.procs"))?;
        fs::create_dir_all(dir.join("ecs"))?;
    }
    // Only a hint that memory of children counts in their parent; newer kernels know no other way.
    drop(fs::write(Path::new(ROOT).join("memory/ecs/memory.use_hierarchy"), "1"));
    Ok(())
}

fn make_v1(id: &str, limits: Limits) -> io::Result<()> {
    let dir = |controller: &str| Path::new(ROOT).join(controller).join("ecs").join(id);
    if let Some(quota) = limits.quota_us {
        let cpu = dir("cpu");
        fs::create_dir_all(&cpu)?;
        fs::write(cpu.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(cpu.join("cpu.cfs_quota_us"), quota.to_string())?;
    }
    if let Some(bytes) = limits.memory_bytes {
        let memory = dir("memory");
        fs::create_dir_all(&memory)?;
        fs::write(memory.join("memory.limit_in_bytes"), bytes.to_string())?;
    }
    Ok(())
}

fn prepare_v2() -> io::Result<()> {
    let root = Path::new(ROOT);
    fs::write(root.join("cgroup.subtree_control"), "+cpu +memory")?;
    fs::create_dir_all(root.join("ecs"))?;
    fs::write(root.join("ecs/cgroup.subtree_control"), "+cpu +memory")
}

fn make_v2(id: &str, limits: Limits) -> io::Result<()> {
    let dir = Path::new(ROOT).join("ecs").join(id);
    fs::create_dir_all(&dir)?;
    write_v2(&dir, limits)
}

fn write_v2(dir: &Path, limits: Limits) -> io::Result<()> {
    if let Some(quota) = limits.quota_us {
        fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
    }
    if let Some(bytes) = limits.memory_bytes {
        fs::write(dir.join("memory.max"), bytes.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_from_the_task_level_only() {
        let task = |cpu, memory| Task { cpu, memory, ..Task::default() };
        assert_eq!(Limits::of(&task(None, None)), None);
        let half = Limits { quota_us: Some(50_000), memory_bytes: Some(64 * MIB) };
        assert_eq!(Limits::of(&task(Some(0.5), Some(64))), Some(half));
        assert_eq!(
            TaskLimits { kind: None, late: Mutex::default() }.parent(&task(Some(1.0), None)),
            None
        );
    }
}
