//! Entries, and their form in the store: one value for all that a transaction tells.
//!
//! A value holds each record in the form of its table, with the version of its shape, so that an
//! entry stays readable as long as the record does.

use bytes::Bytes;
use longshore_domain::journal::{DeploymentStep, Refused};
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
            Self::ServiceEvent(_) | Self::DeploymentStep(_) | Self::Refused(_) => None,
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

/// What a transaction has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A record as it became, in the form of its table.
    Record {
        /// Its table.
        kind: Kind,
        /// Its value.
        value: Bytes,
    },
    /// Anything else.
    Change(Change),
}

#[derive(Serialize)]
struct WrittenChange<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is: Option<Box<RawValue>>,
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
const REFUSED: &str = "refused";

/// The value of what a transaction tells: `{"at":…,"told":[{"kind":…,"is":…},…]}`. Values of records
/// are JSON already, and are taken as they are.
pub(crate) fn encode(at: Timestamp, told: &[Told]) -> Bytes {
    const JSON: &str = "times and changes have text keys, which JSON can hold";
    let size: usize = told.iter().map(Told::size).sum();
    let mut out = Vec::with_capacity(64 + size);
    out.extend_from_slice(b"{\"at\":");
    serde_json::to_writer(&mut out, &at).expect(JSON);
    out.extend_from_slice(b",\"told\":[");
    for (place, told) in told.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        match told {
            Told::Record { kind, value } => {
                out.extend_from_slice(b"{\"kind\":\"");
                out.extend_from_slice(kind.as_str().as_bytes());
                out.extend_from_slice(b"\",\"is\":");
                out.extend_from_slice(value);
                out.push(b'}');
            }
            Told::Change(change) => serde_json::to_writer(&mut out, &written(change)).expect(JSON),
        }
    }
    out.extend_from_slice(b"]}");
    out.into()
}

impl Told {
    /// About how many bytes it takes.
    fn size(&self) -> usize {
        match self {
            Self::Record { value, .. } => value.len() + 40,
            Self::Change(_) => 512,
        }
    }
}

fn written(change: &Change) -> WrittenChange<'_> {
    fn of<R: Record>(record: &R) -> WrittenChange<'static> {
        let value = record::encode(record, &Unknown::default()).to_vec();
        let json = String::from_utf8(value).ok().and_then(|text| RawValue::from_string(text).ok());
        WrittenChange { kind: R::KIND.as_str(), key: None, is: json }
    }
    let plain = |kind, value: serde_json::Result<Box<RawValue>>| WrittenChange {
        kind,
        key: None,
        is: value.ok(),
    };
    match change {
        Change::Task(task) => of(&**task),
        Change::ContainerInstance(instance) => of(&**instance),
        Change::Service(service) => of(&**service),
        Change::ServiceDeployment(deployment) => of(&**deployment),
        Change::ServiceEvent(event) => of(&**event),
        Change::DeploymentStep(step) => plain(STEP, serde_json::value::to_raw_value(step)),
        Change::Refused(refused) => plain(REFUSED, serde_json::value::to_raw_value(refused)),
        Change::Gone { kind, key } => {
            WrittenChange { kind: kind.as_str(), key: Some(key), is: None }
        }
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
        (REFUSED, _) => Change::Refused(serde_json::from_str(json.get())?),
        (_, Some(Kind::Task)) => Change::Task(of(json)?),
        (_, Some(Kind::ContainerInstance)) => Change::ContainerInstance(of(json)?),
        (_, Some(Kind::Service)) => Change::Service(of(json)?),
        (_, Some(Kind::ServiceDeployment)) => Change::ServiceDeployment(of(json)?),
        (_, Some(Kind::ServiceEvent)) => Change::ServiceEvent(of(json)?),
        _ => return Ok(None),
    }))
}
