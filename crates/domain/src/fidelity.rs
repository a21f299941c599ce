//! Fidelity switches: where Longshore can do better than ECS in a way that clients of ECS could
//! notice, it does so only when asked.
//!
//! The rule it keeps: a switch that is not given means AWS's behaviour. Decisions get the switches
//! by value; nobody looks them up. `docs/fidelity.md` is made from [`SWITCHES`].

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;
use core::time::Duration;

use crate::limits;

/// How far to be like ECS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fidelity {
    /// Whether a read shows all that was acknowledged before it, by whichever server.
    pub consistent_reads: bool,
    /// After how long without its agent the tasks of an instance are given up; never when absent.
    pub replace_lost_instances: Option<Duration>,
    /// Whether service tasks that exit soon after they ran count as failures.
    pub count_crash_loops: bool,
    /// Whether a task that StopTask ends may first finish what balancers have sent it.
    pub drain_on_stop_task: bool,
    /// How long stopped tasks and the journal are kept; when absent an hour, and a week.
    pub history: Option<Duration>,
}

/// A switch as its users know it.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub value: &'static str,
    /// What ECS does, and Longshore without the switch.
    pub ecs: &'static str,
    /// What Longshore does with it.
    pub longshore: &'static str,
}

/// All switches.
pub const SWITCHES: &[Switch] = &[
    Switch {
        name: "consistent-reads",
        value: "`on`",
        ecs: "Reads are eventually consistent: of several servers, one that is slow shows for a while \
              what was so. A server always shows what was written through it.",
        longshore: "A `Describe…`, `List…` or `Get…` call shows all that any server had acknowledged \
                    when it was made; it costs a question to the store, and fails while the store \
                    cannot be reached. A server with a store of its own does so anyway.",
    },
    Switch {
        name: "count-crash-loops",
        value: "`on`",
        ecs: "A service task that exits by itself after it was RUNNING is replaced at once, however \
              often; it counts neither toward the circuit breaker nor toward the restart throttle.",
        longshore: "A service task that exits by itself within 60 seconds after it was RUNNING counts \
                    as one that failed to start: toward `failedTasks`, the circuit breaker and the \
                    restart throttle. Only tasks that have run for 60 seconds start the count anew, \
                    make a service steady and complete a deployment.",
    },
    Switch {
        name: "drain-on-stop-task",
        value: "`on`",
        ecs: "`StopTask` ends a task at once; what a load balancer has sent it is lost (502).",
        longshore: "A task that `StopTask` ends is deregistered first, and told to stop when nothing is \
                    under way to it, or when the deregistration delay of its target groups is over; it is \
                    DEACTIVATING meanwhile. Stops that the service scheduler decides always do so.",
    },
    Switch {
        name: "history",
        value: "days, 1 to 365",
        ecs: "Stopped tasks can be described for an hour; there is no other history. (Longshore's \
              journal, which ECS has no counterpart of, is kept for 7 days.)",
        longshore: "Stopped tasks can be described, and the journal of events and decisions is kept, \
                    for that many days.",
    },
    Switch {
        name: "replace-lost-instances",
        value: "seconds, 30 to 86400",
        ecs: "Tasks of an instance whose agent is disconnected stay as they were last seen, for \
              ever.",
        longshore: "After that many seconds without its agent, the tasks of an instance are marked \
                    STOPPED with the stop code `InfrastructureHealth`, so that services replace them. \
                    An agent that comes back is told to stop those tasks, and its instance gets no \
                    new ones until it has.",
    },
];

/// Shortest and longest time of `replace-lost-instances`; a shorter one would take a restart of
/// the agent for a loss.
const LOST_SECONDS: (u64, u64) = (30, 86_400);
/// Fewest and most days of `history`.
const HISTORY_DAYS: (u64, u64) = (1, 365);

impl Fidelity {
    /// Sets a switch as `NAME=VALUE` asks for.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        match name {
            "consistent-reads" => self.consistent_reads = switch(value)?,
            "count-crash-loops" => self.count_crash_loops = switch(value)?,
            "drain-on-stop-task" => self.drain_on_stop_task = switch(value)?,
            "history" => self.history = days(value)?,
            "replace-lost-instances" => {
                self.replace_lost_instances = number(value, LOST_SECONDS, "seconds")?;
            }
            _ => {
                let names = SWITCHES.iter().map(|switch| switch.name);
                let names = names.collect::<alloc::vec::Vec<_>>().join(", ");
                return Err(format!("there is no switch '{name}'; there are: {names}"));
            }
        }
        Ok(())
    }

    /// The switches that `texts` set, one after the other.
    ///
    /// # Errors
    /// Those of [`Fidelity::set`].
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut fidelity = Self::default();
        texts.into_iter().try_for_each(|text| fidelity.set(text))?;
        Ok(fidelity)
    }
}

/// A number of days for `history`, or `off`.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn days(value: &str) -> Result<Option<Duration>, String> {
    let days = number(value, HISTORY_DAYS, "days")?;
    Ok(days.map(|days| days * 24 * 3600))
}

/// `docs/fidelity.md`.
pub fn document() -> String {
    let mut rows = String::new();
    for Switch { name, value, ecs, longshore } in SWITCHES {
        // Writing to a string does not fail.
        let _ = writeln!(rows, "| `{name}` | {value} | {ecs} | {longshore} |");
    }
    format!(
        "# Fidelity switches\n\n\
         Generated from the code (`domain/src/fidelity.rs`); a test compares it.\n\n\
         Longshore does what Amazon ECS does. Where it can do better in a way that clients of ECS could \
         notice, it does so only when asked: `longshore server` and `longshore dev` take \
         `--fidelity NAME=VALUE`, once for each switch. All are `off` by default.\n\n\
         | Name | Value, or `off` | ECS, and Longshore without it | Longshore with it |\n\
         |---|---|---|---|\n{rows}\n\
         `--history DAYS` is short for `--fidelity history=DAYS`. Whatever its age, the journal reaches \
         back no further than the last {} changes of the store.\n\n\
         ECS never moves a task to empty an instance, and neither does Longshore by itself. \
         `longshore ctl consolidate` says which instances could be emptied, where their tasks would go, \
         and why the others stay; with `--execute` it drains them, and services replace their tasks \
         within minimum and maximum percent, health and protection.\n",
        limits::JOURNAL_REVISIONS
    )
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("'{value}' is neither on nor off")),
    }
}

/// A number within bounds, as that many seconds.
fn number(value: &str, (min, max): (u64, u64), unit: &str) -> Result<Option<Duration>, String> {
    if value == "off" {
        return Ok(None);
    }
    let number = value.parse().ok().filter(|number| (min..=max).contains(number));
    let number = number.ok_or_else(|| format!("'{value}' is not {min} to {max} {unit}, or off"))?;
    Ok(Some(Duration::from_secs(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_set_by_name() {
        let given = [
            "replace-lost-instances=60",
            "count-crash-loops=on",
            "drain-on-stop-task=on",
            "history=14",
            "consistent-reads=on",
        ];
        let fidelity = Fidelity::of(given).expect("valid");
        let expected = Fidelity {
            consistent_reads: true,
            replace_lost_instances: Some(Duration::from_secs(60)),
            count_crash_loops: true,
            drain_on_stop_task: true,
            history: Some(Duration::from_secs(14 * 24 * 3600)),
        };
        assert_eq!(fidelity, expected);
        let given = ["replace-lost-instances=60", "replace-lost-instances=off"];
        assert_eq!(Fidelity::of(given), Ok(Fidelity::default()), "the last one counts");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (given, why) in [
            ("history", "expected NAME=VALUE"),
            ("history=0", "'0' is not 1 to 365 days, or off"),
            ("history=-1", "'-1' is not 1 to 365 days, or off"),
            ("count-crash-loops=yes", "'yes' is neither on nor off"),
            ("replace-lost-instances=5", "'5' is not 30 to 86400 seconds, or off"),
        ] {
            assert_eq!(Fidelity::of([given]), Err(why.into()), "{given}");
        }
        let unknown = Fidelity::of(["speed=9"]).expect_err("no such switch");
        for switch in SWITCHES {
            assert!(unknown.contains(switch.name), "{unknown}");
        }
    }

    /// `UPDATE_DOCS=1 cargo test -p longshore-domain fidelity` writes the file.
    #[test]
    fn the_document_says_what_the_code_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fidelity.md");
        let document = document();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &document).expect("docs/fidelity.md can be written");
        }
        let committed = std::fs::read_to_string(path).expect("docs/fidelity.md can be read");
        let stale =
            "docs/fidelity.md is stale: UPDATE_DOCS=1 cargo test -p longshore-domain fidelity";
        assert!(committed == document, "{stale}");
    }

    #[test]
    fn every_listed_switch_can_be_set() {
        for switch in SWITCHES {
            let text = format!("{}=off", switch.name);
            assert_eq!(Fidelity::of([text.as_str()]), Ok(Fidelity::default()));
        }
        assert!(SWITCHES.is_sorted_by_key(|switch| switch.name));
    }
}
