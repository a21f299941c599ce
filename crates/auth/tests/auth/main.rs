//! The boundary of the crate: vectors from botocore, the refusals of AWS, and properties.

mod attacks;
mod chunks;
mod identity;
mod inputs;
mod model;
mod properties;
mod refusals;
mod vectors;

use longshore_auth::{Credentials, PayloadHash, RequestParts};

/// A request that owns its pieces, so that a test can change one of them.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    fn parts(&self) -> RequestParts<'_> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        RequestParts::new(&self.method, &self.path, &self.query, headers)
    }

    fn payload(&self) -> PayloadHash {
        PayloadHash::of(&self.body)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    /// Signs in headers, as a client does.
    fn sign(&mut self, credentials: &Credentials, now_s: i64) {
        let added = longshore_auth::sign(
            &self.parts(),
            &self.payload(),
            credentials,
            "us-east-1",
            "ecs",
            now_s,
        );
        for (name, value) in added {
            self.set(name, &value);
        }
    }
}

/// The call that most tests start from, unsigned.
fn run_task() -> Request {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![
            header("host", "127.0.0.1:4566"),
            header("content-type", "application/x-amz-json-1.1"),
            header("x-amz-target", "AmazonEC2ContainerServiceV20141113.RunTask"),
        ],
        body: br#"{"taskDefinition":"web"}"#.to_vec(),
    }
}

fn example() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
    }
}

const NOW_S: i64 = 1_440_938_160;
