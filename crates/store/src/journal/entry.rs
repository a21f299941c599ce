//! Entries, and their form in the store: one value for all that a transaction tells.
//!
//! A value holds each record in the form of its table, with the version of its shape, so that an
//! entry stays readable as long as the record does.

use bytes::Bytes;
use longshore_domain::journal::{DeploymentStep, HookStep, Refused};
use longshore_domain::record::{ContainerInstance, Service, ServiceDeployment, ServiceEvent, Task};
use longshore_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Sequence;
use crate::contract::{Key, KeyValue};
use crate::record::{self, Record, RecordError, RecordFault, RecordKey, Unknown};
use crate::view::Kind;

/// What changed: a record as it became, or that it is gone, or what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A task.
    Task(Box<Task>),
    /// A container instance.
    ContainerInstance(Box<ContainerInstance>),
    /// A service.
    Service(Box<Service>),
    /// A service deployment.
    ServiceDeployment(Box<ServiceDeployment>),
    /// A new service event.
    ServiceEvent(Box<ServiceEvent>),
    /// A deployment began, was completed or failed.
    DeploymentStep(DeploymentStep),
    /// A lifecycle hook began or ended.
    HookStep(HookStep),
    /// Tasks found no place.
    Refused(Refused),
    /// A record was removed before it was over.
    Gone {
        /// Its table.
        kind: Kind,
        /// Its store key.
        key: Key,
    },
}

impl Change {
    /// Store key of the record that changed; `None` for what only happened.
    pub fn record_key(&self) -> Option<Key> {
        match self {
            Self::Task(task) => Some(task.key().encode()),
            Self::ContainerInstance(instance) => Some(instance.key().encode()),
            Self::Service(service) => Some(service.key().encode()),
            Self::ServiceDeployment(deployment) => Some(deployment.key().encode()),
            Self::ServiceEvent(_)
            | Self::DeploymentStep(_)
            | Self::HookStep(_)
            | Self::Refused(_) => None,
            Self::Gone { key, .. } => Some(key.clone()),
        }
    }
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place.
    pub sequence: Sequence,
    /// When it was written.
    pub at: Timestamp,
    /// What changed.
    pub change: Change,
}

#[derive(Serialize)]
struct Happened<'a, T> {
    kind: &'static str,
    is: &'a T,
}

#[derive(Serialize)]
struct Gone<'a> {
    kind: &'static str,
    key: &'a str,
}

#[derive(Deserialize)]
struct Read<'a> {
    at: Timestamp,
    #[serde(borrow)]
    told: Vec<ReadChange<'a>>,
}

#[derive(Deserialize)]
struct ReadAt {
    at: Timestamp,
}

#[derive(Deserialize)]
struct ReadChange<'a> {
    kind: &'a str,
    #[serde(default)]
    key: Option<String>,
    #[serde(borrow, default)]
    is: Option<&'a RawValue>,
}

const STEP: &str = "deployment-step";
const HOOK: &str = "hook-step";
const REFUSED: &str = "refused";

/// What a transaction tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A record, as the same transaction writes it: it is put into JSON once.
    Record {
        /// Its table.
        kind: Kind,
        /// Its value.
        value: Bytes,
    },
    /// Something else.
    Change(Change),
}

/// The value of what a transaction tells.
pub(crate) fn encode(at: Timestamp, told: &[Told]) -> Bytes {
    let size = told.iter().map(|told| match told {
        Told::Record { value, .. } => value.len(),
        Told::Change(_) => 0,
    });
    let mut json = Vec::with_capacity(size.sum::<usize>() + 64 * (told.len() + 1));
    json.extend(b"{\"at\":");
    write(&mut json, &at);
    json.extend(b",\"told\":[");
    for (index, told) in told.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        match told {
            Told::Record { kind, value } => write_record(&mut json, *kind, value),
            Told::Change(change) => write_change(&mut json, change),
        }
    }
    json.extend(b"]}");
    json.into()
}

fn write<T: Serialize>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value)
        .expect("a change is a structure with text keys, which JSON can hold");
}

fn write_record(json: &mut Vec<u8>, kind: Kind, value: &[u8]) {
    json.extend(b"{\"kind\":");
    write(json, &kind.as_str());
    json.extend(b",\"is\":");
    json.extend(value);
    json.push(b'}');
}

fn write_change(json: &mut Vec<u8>, change: &Change) {
    fn of<R: Record>(json: &mut Vec<u8>, record: &R) {
        write_record(json, R::KIND, &record::encode(record, &Unknown::default()));
    }
    match change {
        Change::Task(task) => of(json, &**task),
        Change::ContainerInstance(instance) => of(json, &**instance),
        Change::Service(service) => of(json, &**service),
        Change::ServiceDeployment(deployment) => of(json, &**deployment),
        Change::ServiceEvent(event) => of(json, &**event),
        Change::DeploymentStep(step) => write(json, &Happened { kind: STEP, is: step }),
        Change::HookStep(step) => write(json, &Happened { kind: HOOK, is: step }),
        Change::Refused(refused) => write(json, &Happened { kind: REFUSED, is: refused }),
        Change::Gone { kind, key } => write(json, &Gone { kind: kind.as_str(), key }),
    }
}

/// The entries of a value. What a newer longshore told, and this one does not know, is left out.
pub(super) fn decode(kv: &KeyValue) -> Result<Vec<Entry>, RecordError> {
    let (at, changes) = read(kv)?;
    let place = |(index, change): (usize, Option<Change>)| {
        let sequence = Sequence::new(kv.mod_revision, index);
        Some(Entry { sequence, at, change: change? })
    };
    Ok(changes.into_iter().enumerate().filter_map(place).collect())
}

/// Time and changes of a value; `None` for those that this code does not know.
pub(crate) fn read(kv: &KeyValue) -> Result<(Timestamp, Vec<Option<Change>>), RecordError> {
    let fault = |fault| RecordError { key: kv.key.clone(), fault };
    let Read { at, told } =
        serde_json::from_slice(&kv.value).map_err(|error| fault(RecordFault::from(error)))?;
    let changes: Result<Vec<_>, _> = told.iter().map(read_change).collect();
    Ok((at, changes.map_err(fault)?))
}

/// The time of a value.
pub(super) fn time(kv: &KeyValue) -> Result<Timestamp, RecordError> {
    let fault = |error| RecordError { key: kv.key.clone(), fault: RecordFault::Malformed(error) };
    serde_json::from_slice(&kv.value).map(|ReadAt { at }| at).map_err(fault)
}

fn read_change(told: &ReadChange<'_>) -> Result<Option<Change>, RecordFault> {
    fn of<R: Record>(json: &RawValue) -> Result<Box<R>, RecordFault> {
        record::decode_value(json.get().as_bytes()).map(|(record, _)| Box::new(record))
    }
    let Some(json) = told.is else {
        let gone = |key: &String| {
            Kind::from_word(told.kind).map(|kind| Change::Gone { kind, key: key.as_str().into() })
        };
        return Ok(told.key.as_ref().and_then(gone));
    };
    Ok(Some(match (told.kind, Kind::from_word(told.kind)) {
        (STEP, _) => Change::DeploymentStep(serde_json::from_str(json.get())?),
        (HOOK, _) => Change::HookStep(serde_json::from_str(json.get())?),
        (REFUSED, _) => Change::Refused(serde_json::from_str(json.get())?),
        (_, Some(Kind::Task)) => Change::Task(of(json)?),
        (_, Some(Kind::ContainerInstance)) => Change::ContainerInstance(of(json)?),
        (_, Some(Kind::Service)) => Change::Service(of(json)?),
        (_, Some(Kind::ServiceDeployment)) => Change::ServiceDeployment(of(json)?),
        (_, Some(Kind::ServiceEvent)) => Change::ServiceEvent(of(json)?),
        _ => return Ok(None),
    }))
}
