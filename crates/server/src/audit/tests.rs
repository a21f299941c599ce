//! Files of an audit log on a real disk.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use longshore_auth::{Account, Principal, PrincipalKind, Session};
use longshore_domain::time::Timestamp;
use serde_json::{Map, Value, json};

use super::*;
use crate::access::Origin;
use crate::clock;
use crate::test_records::scope;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("longshore-audit-{}", clock::uuid()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const DAY: i64 = 24 * 3600 * 1000;

fn day(number: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + number * DAY)
}

fn record(name: &str) -> Map<String, Value> {
    let Value::Object(record) = json!({ "eventName": name }) else { unreachable!("an object") };
    record
}

fn log(path: &Path) -> writer::Log {
    writer::Log::open(path, 3650).expect("opens")
}

/// Two days of records.
fn written() -> Directory {
    let directory = Directory::new();
    let mut log = log(&directory.0);
    log.append(day(0), vec![record("A"), record("B")]).expect("writes");
    log.append(day(0), vec![record("C")]).expect("writes");
    log.append(day(1), vec![record("D"), record("E")]).expect("writes");
    log.sync().expect("syncs");
    directory
}

fn file(directory: &Directory, number: i64) -> PathBuf {
    files::path(&directory.0, &files::day(day(number)))
}

/// Changes the lines of a day, and gives what is found then.
fn after(number: i64, change: impl FnOnce(&mut Vec<String>)) -> Vec<String> {
    let directory = written();
    let path = file(&directory, number);
    let text = fs::read_to_string(&path).expect("reads");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(&path, lines.join("\n") + "\n").expect("writes");
    let report = verify(&directory.0).expect("reads");
    report.faults.into_iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
}

#[test]
fn a_log_that_nobody_touched_is_whole() {
    let directory = written();
    let report = verify(&directory.0).expect("reads");
    assert_eq!((report.files, report.records, report.first), (2, 5, 1));
    assert_eq!(report.faults, []);
    assert_eq!(report.head.sequence, 5);
    // Another process goes on where this one ended.
    log(&directory.0).append(day(1), vec![record("F")]).expect("writes");
    let report = verify(&directory.0).expect("reads");
    assert_eq!((report.records, report.faults), (6, vec![]));
}

#[test]
fn every_change_is_found() {
    let altered = after(0, |lines| lines[1] = lines[1].replace("\"B\"", "\"X\""));
    assert_eq!(altered, ["3: the line before it was altered"]);
    let last_of_a_day = after(0, |lines| lines[2] = lines[2].replace("\"C\"", "\"X\""));
    assert_eq!(
        last_of_a_day,
        ["1: the line before it was altered"],
        "the next day's first line tells"
    );
    let removed = after(0, |lines| drop(lines.remove(1)));
    assert_eq!(removed, ["2: 1 records before it are missing: lines were removed or moved"]);
    let moved = after(0, |lines| lines.swap(1, 2));
    assert_eq!(moved.len(), 3, "{moved:?}");
    assert!(moved[1].contains("lines were moved"), "{moved:?}");
    let twice = after(0, |lines| lines.push(lines[1].clone()));
    assert!(twice[0].contains("record 2 is here a second time"), "{twice:?}");
    let garbage = after(0, |lines| lines[1] = "no record".to_owned());
    assert_eq!(garbage[0], "2: it is no record: it was altered");
    let first = after(0, |lines| drop(lines.remove(0)));
    assert_eq!(first, [] as [&str; 0], "as if it were deleted by its age; its number shows it");
    let forged = after(0, |lines| lines[0] = lines[0].replace("\"A\"", "\"X\""));
    assert_eq!(forged, ["2: the line before it was altered"]);
}

#[test]
fn lines_that_a_crash_cut_off_are_taken_away() {
    let directory = written();
    let path = file(&directory, 1);
    let mut bytes = fs::read(&path).expect("reads");
    bytes.extend_from_slice(br#"{"eventName":"F","seq"#);
    fs::write(&path, bytes).expect("writes");
    log(&directory.0).append(day(1), vec![record("F")]).expect("writes");
    let report = verify(&directory.0).expect("reads");
    assert_eq!((report.records, report.faults), (6, vec![]));
}

#[test]
fn a_log_has_one_writer() {
    let directory = written();
    let first = log(&directory.0);
    let second = writer::Log::open(&directory.0, 1).expect_err("it is another's");
    assert!(second.to_string().contains("is another server's"), "{second}");
    drop(first);
    log(&directory.0);
}

#[test]
fn days_are_kept_for_a_while_and_never_go_back() {
    let directory = Directory::new();
    let mut log = writer::Log::open(&directory.0, 2).expect("opens");
    for number in 0..5 {
        log.append(day(number), vec![record("A")]).expect("writes");
    }
    // The clock was set back.
    log.append(day(1), vec![record("B")]).expect("writes");
    let days = files::days(&directory.0).expect("reads");
    assert_eq!(days, [files::day(day(2)), files::day(day(3)), files::day(day(4))]);
    let report = verify(&directory.0).expect("reads");
    assert_eq!((report.records, report.first, report.faults), (4, 3, vec![]));
    drop(log);
    let mut again = writer::Log::open(&directory.0, 2).expect("opens");
    again.append(day(1), vec![record("C")]).expect("writes");
    assert_eq!(verify(&directory.0).expect("reads").faults, []);
}

fn event(id: &str, name: &'static str, body: &'static [u8]) -> Event {
    let user = PrincipalKind::User { name: "path/ann".to_owned() };
    let principal = Principal::new(Account::default(), user, Some("AKIA1".to_owned()));
    event_by(&principal, id, name, body)
}

fn event_by(principal: &Principal, id: &str, name: &'static str, body: &'static [u8]) -> Event {
    let trace = Arc::<Trace>::default();
    trace.comes_from(principal, &scope());
    trace.asked(&[longshore_auth::Question {
        action: "ecs:DeleteCluster",
        resource: "arn:aws:ecs:us-east-1:000000000000:cluster/c".to_owned(),
        context: Arc::default(),
    }]);
    Event {
        at: clock::now(),
        request_id: id.to_owned(),
        service: "ecs",
        name,
        read_only: false,
        trace,
        origin: Origin {
            address: Some([10, 0, 0, 7].into()),
            secure: true,
            user_agent: Some("aws-cli/2".to_owned()),
        },
        body: Kept::request(Bytes::from_static(body)),
        form: false,
        answer: Kept::nothing(),
        error: None,
    }
}

#[tokio::test]
async fn what_is_recorded_is_found_again() {
    let directory = Directory::new();
    let config = Config { directory: directory.0.clone(), reads: false, retention_days: 30 };
    let audit = Audit::open(config).expect("opens");
    assert!(audit.records(false) && !audit.records(true));
    audit.record(event("id-1", "DeleteCluster", br#"{"cluster": "c"}"#));
    audit.record(event("id-2", "DeleteCluster", br#"{"cluster": "c", "clientSecret": "s3cret"}"#));
    let head = audit.flush().await.expect("it is kept");
    assert_eq!((head.sequence, audit.counts().written(), audit.counts().lost()), (2, 2, 0));
    assert_eq!(verify(&directory.0).expect("reads").head, head);
    let found = find(&directory.0, "id-1").expect("reads").expect("it is there");
    assert_eq!(found["eventSource"], "ecs.amazonaws.com");
    assert_eq!(found["eventName"], "DeleteCluster");
    assert_eq!(found["requestParameters"]["cluster"], "c");
    assert_eq!(found["sourceIPAddress"], "10.0.0.7");
    assert_eq!(found["userIdentity"]["type"], "IAMUser");
    assert_eq!(found["userIdentity"]["userName"], "ann");
    assert_eq!(found["userIdentity"]["arn"], "arn:aws:iam::000000000000:user/path/ann");
    assert_eq!(found["recipientAccountId"], "000000000000");
    assert_eq!(found["readOnly"], false);
    assert_eq!(find(&directory.0, "id-3").expect("reads"), None);
    let second = find(&directory.0, "id-2").expect("reads").expect("it is there");
    assert!(!second.to_string().contains("s3cret"));
    let ann = "arn:aws:iam::000000000000:user/path/ann";
    let used = used(&directory.0, ann, clock::now() - std::time::Duration::from_secs(60));
    let used = used.expect("reads");
    assert_eq!((used.calls, used.denied), (2, 0));
    let policy = suggest::policy(&used);
    assert_eq!(policy["Statement"][0]["Action"], "ecs:DeleteCluster");
    assert_eq!(policy["Statement"][0]["Resource"], "arn:aws:ecs:us-east-1:000000000000:cluster/c");
}

#[tokio::test]
async fn what_sessions_of_a_role_with_a_path_used_counts_for_the_role() {
    let directory = Directory::new();
    let config = Config { directory: directory.0.clone(), reads: false, retention_days: 30 };
    let audit = Audit::open(config).expect("opens");
    let arn = "arn:aws:iam::000000000000:role/team/a/deployer";
    let kind = PrincipalKind::AssumedRole { role: "deployer".into(), session: "s".into() };
    let session = Session { role_arn: Some(arn.to_owned()), ..Session::default() };
    let principal = Principal {
        session: Some(Box::new(session)),
        ..Principal::new(Account::default(), kind, Some("ASIA1".to_owned()))
    };
    audit.record(event_by(&principal, "id-1", "DeleteCluster", b"{}"));
    audit.flush().await.expect("it is kept");
    let found = find(&directory.0, "id-1").expect("reads").expect("it is there");
    let issuer = &found["userIdentity"]["sessionContext"]["sessionIssuer"];
    assert_eq!((&issuer["arn"], &issuer["userName"]), (&json!(arn), &json!("deployer")));
    let since = clock::now() - std::time::Duration::from_secs(60);
    let calls = |arn: &str| used(&directory.0, arn, since).expect("reads").calls;
    assert_eq!(calls(arn), 1);
    assert_eq!(calls("arn:aws:iam::000000000000:role/deployer"), 0, "that is another role");
}

fn asked(number: usize, length: usize) -> Vec<longshore_auth::Question> {
    let question = |n| longshore_auth::Question {
        action: "ecs:UpdateTaskProtection",
        resource: format!("{n:0length$}"),
        context: Arc::default(),
    };
    (0..number).map(question).collect()
}

#[test]
fn what_a_record_tells_is_bounded_whatever_was_asked() {
    for (number, length, kept) in [(1_000_000, 6, 100), (100, 350, 100), (1000, 2000, 32)] {
        let trace = Arc::<Trace>::default();
        trace.asked(&asked(number, length));
        let record = Event { trace, ..event("id", "UpdateTaskProtection", b"{}") }.record();
        let more = &record["additionalEventData"];
        assert_eq!(more["asked"].as_array().map(Vec::len), Some(kept));
        let left_out = number - kept;
        assert_eq!(more["askedLeftOut"].as_u64().unwrap_or_default(), left_out as u64);
        assert!(Value::Object(record).to_string().len() < 128 * 1024);
    }
}

#[test]
fn what_a_record_tells_of_a_denial_is_bounded() {
    let mut context = longshore_auth::Context::default();
    for n in 0..100_000 {
        context.add("aws:TagKeys", format!("key{n}"));
    }
    let question = longshore_auth::Question {
        action: "ecs:StopTask",
        resource: "r".repeat(1_000_000),
        context: Arc::new(context),
    };
    let reason = longshore_auth::Reason::NoAllow(longshore_auth::Layer::Identity);
    let principal_arn = "arn:aws:iam::000000000000:user/path/ann".to_owned();
    let denied = longshore_auth::Denied { principal_arn, question, reason, evaluation: None };
    let error = Reason { code: "AccessDeniedException".to_owned(), message: denied.to_string() };
    let event = Event { error: Some(error), ..event("id", "StopTask", b"{}") };
    event.trace.denied(Box::new(denied));
    let record = event.record();
    let denial = &record["additionalEventData"]["denial"];
    assert_eq!(denial["action"], "ecs:StopTask");
    assert_eq!(denial["leftOut"], json!(["context"]));
    assert!(Value::Object(record).to_string().len() < 64 * 1024);
}

#[test]
fn what_is_not_shown_does_not_wait_in_the_queue() {
    let long = Bytes::from(vec![b' '; 64 * 1024 + 1]);
    let length = long.len();
    assert_eq!(Kept::request(long.clone()), Kept::Omitted(length));
    assert_eq!(Kept::answer(long), Kept::Omitted(length));
    let short = Bytes::from_static(b"{}");
    assert_eq!(Kept::request(short.clone()), Kept::Whole(short));
    let event = Event { body: Kept::Omitted(length), ..event("id", "RunTask", b"{}") };
    assert_eq!(event.record()["requestParameters"]["omitted"], "a request of 65537 bytes");
}

#[test]
fn a_use_that_the_log_left_out_is_counted() {
    let directory = Directory::new();
    let trace = Arc::<Trace>::default();
    let known = event("id", "UpdateTaskProtection", b"{}");
    let (principal, scope) = known.trace.caller().expect("it is known");
    trace.comes_from(principal, scope);
    trace.asked(&asked(107, 32));
    let event = Event { trace, ..known };
    let mut log = log(&directory.0);
    log.append(event.at, vec![event.record()]).expect("writes");
    log.sync().expect("syncs");
    let since = event.at - std::time::Duration::from_secs(60);
    let used = used(&directory.0, "arn:aws:iam::000000000000:user/path/ann", since);
    let used = used.expect("reads");
    assert_eq!((used.calls, used.left_out), (1, 7));
    assert_eq!(used.actions.values().map(std::collections::BTreeSet::len).sum::<usize>(), 100);
}
